/**
 * @file What codes of the keys of an indexer do to its choice: `npx tsx bench/index-keys.ts [--model DIR] [--tokens N] [--copies sinks=4,window=128]`.
 *
 * Everything but these keys is exact. Tokens of a row that are chosen as with exact keys, of those rows that have to choose, and the divergence of the
 * logits. Without a checkpoint: a small DeepSeek-V3.2 with random weights, whose indexer has the published heads; its scores have no structure that
 * training gives, so that many tokens are about as good as the last one that is chosen.
 */
import "../src/node/install.ts";
import type { Buf, ChosenTokens, Ops, Step } from "../src/backends/ops.ts";
import { createWasmBackend } from "../src/backends/wasm/backend.ts";
import { Runner } from "../src/engine/runner.ts";
import { klDivergence, mean, rowStats } from "../src/eval/divergence.ts";
import { LLM } from "../src/index.ts";
import { CounterRng } from "../src/math/rng.ts";
import { parseModelConfig } from "../src/models/config.ts";
import { Decoder } from "../src/models/decoder.ts";
import { RandomCheckpoint } from "../src/models/random-weights.ts";
import { parseKvSpec } from "../src/quant/parse-kv-spec.ts";
import { readCommandLine } from "../tools/command-line.ts";

const RANDOM = {
  ...{ model_type: "deepseek_v32", hidden_size: 512, num_hidden_layers: 4, num_attention_heads: 8, vocab_size: 4096 },
  ...{ intermediate_size: 1024, first_k_dense_replace: 4, max_position_embeddings: 8192, tie_word_embeddings: true },
  ...{ q_lora_rank: 192, kv_lora_rank: 128, qk_nope_head_dim: 32, qk_rope_head_dim: 64, v_head_dim: 32 },
  ...{ index_topk: 128, index_head_dim: 128, index_n_heads: 64 },
};
const BITS = [8, 6, 5, 4, 3, 2, 1];

const { values } = readCommandLine({
  options: {
    model: { type: "string" },
    tokens: { type: "string", default: "1024" },
    copies: { type: "string", default: "sinks=0,window=0" },
  },
});
const numTokens = Number(values.tokens);

interface Run {
  /** By call of `chooseTokens`: the lists of its rows. */
  readonly chosen: Float32Array[];
  readonly logits: Float32Array;
}

/** Runs a prompt in one cache format, and takes down what is chosen. */
async function run(decoder: Decoder, kv: string, tokens: Int32Array): Promise<Run> {
  const reads: Promise<Float32Array>[] = [];
  const tapped = (ops: Ops): Ops => {
    const chooseTokens: Ops["chooseTokens"] = (step: Step, layer, q: Buf, by, into: ChosenTokens) => {
      ops.chooseTokens(step, layer, q, by, into);
      reads.push(ops.readback(into.positions, step.tokens.length * into.lists * into.count));
    };
    return new Proxy(ops, {
      get(target, key) {
        if (key === "chooseTokens") return chooseTokens;
        // Private fields need the backend itself as `this`.
        const value: unknown = Reflect.get(target, key, target);
        return typeof value === "function" ? value.bind(target) : value;
      },
    });
  };
  const own = decoder.withFormat(parseKvSpec(kv), [], tapped);
  const sequence = own.createCache().createSequence();
  const parts: Float32Array[] = [];
  await new Runner(own, { contextLength: tokens.length }).prefill(sequence, tokens, {
    logits: "all",
    onLogits: (logits) => parts.push(logits),
  });
  sequence.release();
  const logits = new Float32Array(tokens.length * own.config.vocabSize);
  let at = 0;
  for (const part of parts) {
    logits.set(part, at);
    at += part.length;
  }
  own.dispose();
  return { chosen: await Promise.all(reads), logits };
}

/** Share of the tokens of all full lists that are in both; a list that is not full has every token. */
function overlapOf(own: Run, exact: Run, count: number): number {
  let [both, all] = [0, 0];
  for (const [call, lists] of own.chosen.entries()) {
    const expected = exact.chosen[call]!;
    for (let at = 0; at < lists.length; at += count) {
      const known = new Set(expected.subarray(at, at + count));
      // The first tokens are all that there are.
      if (known.has(-1) || expected[at + count - 1] === count - 1) continue;
      for (const token of lists.subarray(at, at + count)) if (known.has(token)) both++;
      all += count;
    }
  }
  return both / all;
}

function divergenceOf(own: Run, exact: Run, vocabSize: number): { kld: number; top1: number } {
  const klds: number[] = [];
  let same = 0;
  for (let at = 0; at < own.logits.length; at += vocabSize) {
    const [a, b] = [exact.logits.subarray(at, at + vocabSize), own.logits.subarray(at, at + vocabSize)];
    const [ofA, ofB] = [rowStats(a), rowStats(b)];
    klds.push(klDivergence(a, ofA, b, ofB));
    if (ofA.argmax === ofB.argmax) same++;
  }
  return { kld: mean(klds), top1: same / klds.length };
}

async function open(): Promise<{ decoder: Decoder; close: () => Promise<void> }> {
  if (values.model !== undefined) {
    const llm = await LLM.load(values.model, { kv: "f32", backend: "wasm" });
    return { decoder: llm.decoder, close: () => llm.dispose() };
  }
  const ops = await createWasmBackend({});
  const config = parseModelConfig(RANDOM, "random weights");
  const options = { config, kv: parseKvSpec("f32"), weights: "auto" } as const;
  const decoder = await Decoder.load(ops, new RandomCheckpoint(RANDOM, "index keys"), options);
  const close = async (): Promise<void> => {
    decoder.dispose();
    await ops.dispose();
  };
  return { decoder, close };
}

const { decoder, close } = await open();
const { vocabSize, traits } = decoder.config;
const blocks = traits.blockIndexer?.blocks;
const count = traits.indexer?.count ?? (blocks ? blocks.count * blocks.size : 0);
const rng = new CounterRng(1, 0x1dec);
const tokens = Int32Array.from({ length: numTokens }, (_, i) => Math.floor(rng.uniform(i) * vocabSize));
const exact = await run(decoder, "f32", tokens);
console.log(`${decoder.config.modelType}, ${numTokens} tokens, ${count} chosen, ${values.copies}`);
console.log("| index keys | chosen as exactly | mean KLD | top-1 |\n|---|---:|---:|---:|");
for (const bits of BITS) {
  const kv = `f32,${values.copies},layers=index:k${bits}v${bits}`;
  const own = await run(decoder, kv, tokens);
  const { kld, top1 } = divergenceOf(own, exact, vocabSize);
  const percent = (share: number): string => `${(100 * share).toFixed(1)} %`;
  console.log(
    `| ${bits} bit | ${percent(overlapOf(own, exact, count))} | ${kld.toExponential(2)} | ${percent(top1)} |`,
  );
}
await close();
