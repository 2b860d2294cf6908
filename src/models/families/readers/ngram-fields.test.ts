import { expect, it } from "vitest";
import { ConfigFields } from "../../config-fields.ts";
import { parseNgramMemories } from "./ngram-fields.ts";

const parse = (fields: object, numLayers = 4) =>
  parseNgramMemories(
    new ConfigFields({ hidden_size: 32, eos_token_id: 0, vocab_size: 320, ...fields }, "config.json"),
    numLayers,
    () => true,
  );

const isPrime = (value: number): boolean => {
  for (let divisor = 2; divisor * divisor <= value; divisor++) if (value % divisor === 0) return false;
  return value > 1;
};

it.each([1, 2, 50, 262_140, 20_000_000])("heads have the primes from %i on, one memory's behind another's", (base) => {
  const memoryOf = parse({ ple_layer_ids: [2, 4], heads_per_ngram: 4, ngram_vocab_size_base: base });
  const found = [1, 3].flatMap((layer) => memoryOf(layer)!.ngrams.heads.map(({ numRows }) => numRows));
  const expected: number[] = [];
  for (let value = base; expected.length < 16; value++) if (isPrime(value)) expected.push(value);
  expect(found).toEqual(expected);
  expect(memoryOf(0)).toBeNull();
});

it("refuses tables that are too large before it looks for primes, and finds many at once", () => {
  const many = {
    ...{ ple_layer_ids: Array.from({ length: 1024 }, (_, layer) => layer + 1), ngram_size: 8, heads_per_ngram: 64 },
    ...{ ple_embed_dim: 448, ple_conv_kernel_size: 2 },
  };
  const started = performance.now();
  expect(() => parse({ ...many, ngram_vocab_size_base: 2 ** 30 }, 1024)).toThrow(
    /ngram_vocab_size_base: expected tables of at most/,
  );
  expect(() => parse({ ...many, ngram_vocab_size_base: 4_000_000 }, 1024)).toThrow(/expected tables of at most/);
  expect(performance.now() - started).toBeLessThan(4000);
});
