/** @file The fields of a config that describe memories of n-grams, and the numbers that their hashes are made with. */
import { MAX_KERNEL, MAX_REACH } from "../../../backends/state-ops.ts";
import type { NgramMemoryShape } from "../../blocks/ngram-memory.ts";
import type { ConfigFields } from "../../config-fields.ts";

const MAX_WIDTH = 2 ** 20;
const MAX_LENGTH = 8;
const MAX_HEADS = 64;
const MAX_PARTS = 2 ** 16;
/** So that the primes behind it, and what is left by them, stay below 2³¹. */
const MAX_ROWS = 2 ** 30;
const MAX_SEED = 2 ** 31;
/** Numbers of a table's rows are whole numbers of 32 bits with a sign. */
const MAX_TABLE_ROWS = 2 ** 31 - 1;

const WORD = (1n << 64n) - 1n;
/** Of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014). */
const GAMMA = 0x9e3779b97f4a7c15n;
const MIX = [0xbf58476d1ce4e5b9n, 0x94d049bb133111ebn] as const;
/** Between the seeds of two layers. */
const LAYER_STRIDE = 10_007n;
/** Bits of a digit of a multiplier, see `Ngrams`. */
const DIGIT = 21n;

function splitMix(seed: bigint): bigint {
  let value = (seed + GAMMA) & WORD;
  value = ((value ^ (value >> 30n)) * MIX[0]) & WORD;
  value = ((value ^ (value >> 27n)) * MIX[1]) & WORD;
  return value ^ (value >> 31n);
}

/** memory: which of the model's memories it is */
function multipliersOf(vocabSize: number, size: number, memory: number, seed: number) {
  const most = ((1n << 63n) - 1n) / BigInt(vocabSize);
  const half = most / 2n > 1n ? most / 2n : 1n;
  const first = BigInt(seed) + LAYER_STRIDE * BigInt(memory);
  return Array.from({ length: size }, (_, place) => {
    const value = 2n * (splitMix((first + GAMMA * BigInt(place + 1)) & WORD) % half) + 1n;
    const digit = (n: bigint): number => Number((value >> (DIGIT * n)) & ((1n << DIGIT) - 1n));
    return [digit(0n), digit(1n), digit(2n)] as const;
  });
}

/** Numbers that are looked at together for primes. */
const SIEVE = 2 ** 18;

/** The first primes that are no less than `least`, by a sieve of one run of numbers after the other. */
function primesFrom(least: number, count: number): number[] {
  const primes: number[] = [];
  for (let start = Math.max(2, least); primes.length < count; start += SIEVE) {
    const isDivided = new Uint8Array(SIEVE);
    const end = start + SIEVE;
    for (let divisor = 2; divisor * divisor < end; divisor += divisor === 2 ? 1 : 2) {
      const first = Math.max(divisor * divisor, Math.ceil(start / divisor) * divisor);
      for (let at = first - start; at < SIEVE; at += divisor) isDivided[at] = 1;
    }
    for (let at = 0; at < SIEVE && primes.length < count; at++) if (isDivided[at] === 0) primes.push(start + at);
  }
  return primes;
}

/** Layers that have a memory, ascending, counted from 0. isLinear: the others cannot have one */
function memoryLayers(config: ConfigFields, numLayers: number, isLinear: (layer: number) => boolean): number[] {
  const ids = config.raw("ple_layer_ids") ?? [];
  const isLayer = (id: unknown): boolean =>
    Number.isInteger(id) && (id as number) >= 1 && (id as number) <= numLayers && isLinear((id as number) - 1);
  if (!Array.isArray(ids) || !ids.every(isLayer))
    throw config.invalid("ple_layer_ids", `numbers of layers with linear_attention, from 1 to ${numLayers}`);
  return [...new Set(ids as number[])].sort((a, b) => a - b).map((id) => id - 1);
}

/**
 * The memory of each layer that has one; null for others.
 * @throws TurboQuantError invalid_file — a field that is wrong; unsupported — a length or a kernel without room
 */
export function parseNgramMemories(
  config: ConfigFields,
  numLayers: number,
  isLinear: (layer: number) => boolean,
): (
  layer: number,
) => Pick<NgramMemoryShape, "width" | "ngrams" | "numRows" | "numParts" | "kernel" | "dilation"> | null {
  const layers = memoryLayers(config, numLayers, isLinear);
  if (layers.length === 0) return () => null;
  const size = config.integer("ngram_size", 2, MAX_LENGTH, 3);
  const numHeads = (size - 1) * config.integer("heads_per_ngram", 1, MAX_HEADS, 8);
  const width = config.integer("ple_embed_dim", 1, MAX_WIDTH, config.integer("hidden_size", 1, MAX_WIDTH));
  if (width % numHeads !== 0) throw config.invalid("ple_embed_dim", `a multiple of the ${numHeads} heads of n-grams`);
  const kernel = config.integer("ple_conv_kernel_size", 2, MAX_KERNEL, 4);
  if ((kernel - 1) * size > MAX_REACH)
    throw config.unsupported(
      "ple_conv_kernel_size",
      `expected at most ${Math.floor(MAX_REACH / size) + 1} with ngram_size ${size}`,
    );
  const [endToken] = config.tokenIds("eos_token_id");
  if (endToken === undefined) throw config.invalid("eos_token_id", "the token that ends texts, as n-grams end there");
  const vocabSize = config.integer("vocab_size", 1, 2 ** 24, 248_320);
  const divisor = config.integer("make_ngram_vocab_size_divisible_by", 1, MAX_ROWS, 128);
  const seed = config.integer("seed", 0, MAX_SEED, 1234);
  const base = config.integer("ngram_vocab_size_base", 1, MAX_ROWS, 20_000_000);
  const checkRows = (numRows: number): void => {
    if (numRows <= MAX_TABLE_ROWS) return;
    throw config.unsupported(
      "ngram_vocab_size_base",
      `expected tables of at most ${MAX_TABLE_ROWS} rows, which the ${numHeads} heads of n-grams make ${numRows} or more`,
    );
  };
  // Before any prime is looked for: each is at least the base.
  checkRows(numHeads * base);
  const primes = primesFrom(base, layers.length * numHeads);
  const memories = layers.map((_, memory) => {
    let numRows = 0;
    const heads = primes.slice(memory * numHeads, (memory + 1) * numHeads).map((prime) => {
      numRows += prime;
      return { numRows: prime, first: numRows - prime };
    });
    checkRows(numRows);
    return {
      ...{ width, kernel, dilation: size },
      ngrams: { size, endToken, multipliers: multipliersOf(vocabSize, size, memory, seed), heads },
      numRows: Math.ceil(numRows / divisor) * divisor,
      numParts: config.integer("split_ngram_parts", 1, MAX_PARTS, 512),
    };
  });
  return (layer) => memories[layers.indexOf(layer)] ?? null;
}
