/**
 * @file Decode speed of llama.cpp on the CPU, through node-llama-cpp's prebuilt binary, at several depths and cache types.
 *
 *   npx tsx bench/peers/llama-cpp.ts [--shape qwen3-0.6b] [--layers N] [-d 0,1024,4096] [--kv f16,q8_0,q4_0] [-t 2]
 *                                    [-n 16] [-r 5] [--limit SECONDS] [--settle SECONDS] [-o FILE.jsonl]
 *
 * Installs node-llama-cpp into bench/peers/node_modules when it is missing, writes a model of that shape with
 * random q8_0 weights (639 MB at 28 layers), and prints one JSON object a measurement. With --layers 1 the difference between
 * depths is the attention of one layer. A step includes the greedy choice of a token, as node-llama-cpp offers none without.
 */
import { appendFileSync, existsSync } from "node:fs";
import os from "node:os";
import { join } from "node:path";
import { CounterRng } from "../../src/math/rng.ts";
import type { ModelConfig } from "../../src/models/config.ts";
import { shapeConfig } from "../../src/models/shapes.ts";
import { readCommandLine, refuse } from "../../tools/command-line.ts";
import { HERE } from "./install.ts";
import {
  CACHE_TYPES,
  type CacheType,
  createContext,
  cutTo,
  decodeStep,
  type LlamaSequence,
  openLlamaPeer,
} from "./llama-peer.ts";
import { writeRandomQwen3 } from "./random-qwen3.ts";
import { commit, idleShare } from "./record.ts";

/** Prompt tokens a call; between calls the clock is looked at. */
const CHUNK_TOKENS = 128;
/** Idle share of the CPUs from which on a figure is worth anything. */
const IDLE = 0.9;

const { values } = readCommandLine({
  options: {
    shape: { type: "string", default: "qwen3-0.6b" },
    layers: { type: "string" },
    depths: { type: "string", short: "d", default: "0,1024,4096" },
    kv: { type: "string", default: "f16,q8_0,q4_0" },
    threads: { type: "string", short: "t", default: String(os.availableParallelism()) },
    tokens: { type: "string", short: "n", default: "16" },
    repeats: { type: "string", short: "r", default: "5" },
    limit: { type: "string", default: "600" },
    settle: { type: "string", default: "20" },
    output: { type: "string", short: "o" },
  },
});

function whole(name: string, text: string, min: number): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= min) return value;
  return refuse(`${name}: expected a whole number from ${min}, got ${text}`);
}

function readOptions() {
  const kv = values.kv.split(",");
  const unknown = kv.find((type) => !Object.hasOwn(CACHE_TYPES, type));
  if (unknown !== undefined) refuse(`--kv: expected some of ${Object.keys(CACHE_TYPES).join(", ")}, got ${unknown}`);
  const shape = shapeConfig(values.shape);
  return {
    shapeName: values.shape,
    config: {
      ...shape,
      numLayers: values.layers ? whole("--layers", values.layers, 1) : shape.numLayers,
    } as ModelConfig,
    depths: values.depths
      .split(",")
      .map((depth) => whole("-d", depth, 0))
      .sort((a, b) => a - b),
    kv: kv as CacheType[],
    threads: whole("-t", values.threads, 1),
    tokens: whole("-n", values.tokens, 1),
    repeats: whole("-r", values.repeats, 1),
    /** Seconds that one cache type may take before what is left of it is recorded as not finished. */
    limitSeconds: whole("--limit", values.limit, 1),
    /** Seconds to wait for the machine to become idle before measuring anyway. */
    settleSeconds: whole("--settle", values.settle, 0),
  };
}

/** Waits until the CPUs are idle, or for `seconds`; the idle share at the end. */
async function settled(seconds: number): Promise<number> {
  const deadline = performance.now() + seconds * 1000;
  for (;;) {
    const idle = await idleShare();
    if (idle >= IDLE || performance.now() > deadline) return idle;
  }
}

const median = (list: readonly number[]): number => {
  const sorted = [...list].sort((a, b) => a - b);
  return (sorted[Math.floor((sorted.length - 1) / 2)]! + sorted[Math.ceil((sorted.length - 1) / 2)]!) / 2;
};
const round = (x: number): number => Number(x.toPrecision(5));

function emit(row: Record<string, unknown>): void {
  const line = JSON.stringify(row);
  console.log(line);
  if (values.output) appendFileSync(values.output, `${line}\n`);
}

const options = readOptions();
const { config, threads } = options;
const modelPath = join(HERE, `${options.shapeName}-${config.numLayers}l-q8_0.gguf`);
const peer = await openLlamaPeer(threads);
if (!existsSync(modelPath)) {
  console.error(`llama-cpp: writing ${modelPath} …`);
  await writeRandomQwen3(modelPath, config);
}
const model = await peer.load(modelPath);
const common = {
  benchmark: "peer-decode",
  ...peer.about,
  ...commit(),
  date: new Date().toISOString(),
  cpu: os.cpus()[0]?.model,
  node: process.version,
  shape: options.shapeName,
  layers: config.numLayers,
  weights: "q8_0",
  threads,
};

/** Milliseconds of each of `count` single-token steps from the sequence's end; the sequence is as before afterwards. */
async function decode(sequence: LlamaSequence, rng: CounterRng, count: number): Promise<number[]> {
  const start = sequence.nextTokenIndex;
  const times: number[] = [];
  for (let i = 0; i < count; i++) {
    const token = rng.uint32(start + i) % config.vocabSize;
    const began = performance.now();
    await decodeStep(sequence, token);
    times.push(performance.now() - began);
  }
  await cutTo(sequence, start);
  return times;
}

/** Fills the sequence up to `depth` with random tokens; false when the deadline comes first. */
async function prefill(sequence: LlamaSequence, rng: CounterRng, depth: number, deadline: number): Promise<boolean> {
  while (sequence.nextTokenIndex < depth) {
    if (performance.now() > deadline) return false;
    const start = sequence.nextTokenIndex;
    const count = Math.min(CHUNK_TOKENS, depth - start);
    const tokens = Array.from({ length: count }, (_, i) => rng.uint32(start + i) % config.vocabSize);
    await sequence.evaluateWithoutGeneratingNewTokens(tokens);
  }
  return true;
}

for (const kv of options.kv) {
  const context = await createContext(model, {
    kv,
    contextSize: Math.max(...options.depths) + options.tokens + 1,
    batchSize: CHUNK_TOKENS,
    threads,
    flashAttention: true,
  });
  const sequence = context.getSequence();
  const rng = new CounterRng(1, 0);
  const deadline = performance.now() + options.limitSeconds * 1000;
  /** The shallowest depth, where the slope starts. */
  let base: { depth: number; median: number; min: number; bestToken: number } | undefined;
  for (const depth of options.depths) {
    const test = `tg${options.tokens} @ d${depth}`;
    const from = sequence.nextTokenIndex;
    const began = performance.now();
    const isFilled = await prefill(sequence, rng, depth, deadline);
    const prefillSeconds = (performance.now() - began) / 1000;
    const prefilled = { tokens: sequence.nextTokenIndex - from, seconds: round(prefillSeconds) };
    if (!isFilled) {
      emit({ ...common, kv, test, depth, status: `not finished in ${options.limitSeconds} s`, prefilled });
      continue;
    }
    const idle = await settled(options.settleSeconds);
    if (idle < IDLE)
      console.error(`llama-cpp: only ${Math.round(idle * 100)} % of the CPUs are idle; the figures will be bad`);
    await decode(sequence, rng, 2);
    const samples: number[] = [];
    let best = Number.POSITIVE_INFINITY;
    while (samples.length < options.repeats && (samples.length === 0 || performance.now() < deadline)) {
      const times = await decode(sequence, rng, options.tokens);
      samples.push(times.reduce((sum, t) => sum + t, 0) / times.length);
      best = Math.min(best, ...times);
    }
    const mid = median(samples);
    const min = Math.min(...samples);
    const perLayer = (deep: number, shallow: number): number =>
      round((deep - shallow) / ((depth - base!.depth) / 1024) / config.numLayers);
    emit({
      ...common,
      kv,
      test,
      depth,
      status: "ok",
      unit: "ms/token",
      samples: samples.map(round),
      median: round(mid),
      min: round(min),
      bestToken: round(best),
      spread: round((Math.max(...samples) - min) / mid),
      tokPerSec: round(1000 / mid),
      tokPerSecBest: round(1000 / min),
      ...(base &&
        depth > base.depth && {
          attentionMsPerLayerPer1K: {
            median: perLayer(mid, base.median),
            min: perLayer(min, base.min),
            bestToken: perLayer(best, base.bestToken),
          },
        }),
      threadsUsed: context.currentThreads,
      flashAttention: context.flashAttention,
      idleBefore: round(idle),
      prefilled,
    });
    base ??= { depth, median: mid, min, bestToken: best };
  }
  await context.dispose();
}
await model.dispose();
await peer.dispose();
