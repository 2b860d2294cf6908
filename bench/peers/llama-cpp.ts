/**
 * @file Decode speed of llama.cpp on the CPU, through node-llama-cpp's prebuilt binary, at several depths and cache types.
 *
 *   npx tsx bench/peers/llama-cpp.ts [--shape qwen3-0.6b] [--layers N] [-d 0,1024,4096] [--kv f16,q8_0,q4_0] [-t 2]
 *                                    [-n 16] [-r 5] [--limit SECONDS] [--settle SECONDS] [-o FILE.jsonl]
 *
 * Installs node-llama-cpp into bench/peers/node_modules when it is missing (725 MB), writes a model of that shape with
 * random q8_0 weights (639 MB at 28 layers), and prints one JSON object a measurement. With --layers 1 the difference between
 * depths is the attention of one layer. A step includes the greedy choice of a token, as node-llama-cpp offers none without.
 */
import { spawnSync } from "node:child_process";
import { appendFileSync, existsSync, readFileSync } from "node:fs";
import os from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { CounterRng } from "../../src/math/rng.ts";
import type { ModelConfig } from "../../src/models/config.ts";
import { shapeConfig } from "../../src/models/shapes.ts";
import { writeRandomQwen3 } from "./random-qwen3.ts";

const HERE = fileURLToPath(new URL(".", import.meta.url));
/** Prompt tokens a call; between calls the clock is looked at. */
const CHUNK_TOKENS = 128;
/** Idle share of the CPUs from which on a figure is worth anything. */
const IDLE = 0.9;
const CACHE_TYPES = { f16: "F16", q8_0: "Q8_0", q4_0: "Q4_0" } as const;

/** The part of node-llama-cpp's API that is used here; it is not installed where types are checked. */
interface LlamaSequence {
  readonly nextTokenIndex: number;
  evaluateWithoutGeneratingNewTokens(tokens: number[]): Promise<void>;
  controlledEvaluate(
    input: [number, { generateNext: { token: boolean; options: { temperature: number } } }][],
  ): Promise<unknown>;
  eraseContextTokenRanges(ranges: { start: number; end: number }[]): Promise<void>;
}
interface LlamaContext {
  readonly currentThreads: number;
  readonly contextSize: number;
  readonly flashAttention: unknown;
  getSequence(): LlamaSequence;
  dispose(): Promise<void>;
}
interface LlamaModule {
  getLlama(options: Record<string, unknown>): Promise<{
    readonly llamaCppRelease: { readonly release: string };
    loadModel(options: Record<string, unknown>): Promise<{
      createContext(options: Record<string, unknown>): Promise<LlamaContext>;
      dispose(): Promise<void>;
    }>;
    dispose(): Promise<void>;
  }>;
}

const { values } = parseArgs({
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
  console.error(`llama-cpp: ${name}: expected a whole number from ${min}, got ${text}`);
  process.exit(2);
}

function readOptions() {
  const kv = values.kv.split(",");
  const unknown = kv.find((type) => !Object.hasOwn(CACHE_TYPES, type));
  if (unknown !== undefined) {
    console.error(`llama-cpp: --kv: expected ${Object.keys(CACHE_TYPES).join(", ")}, got ${unknown}`);
    process.exit(2);
  }
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
    kv: kv as (keyof typeof CACHE_TYPES)[],
    threads: whole("-t", values.threads, 1),
    tokens: whole("-n", values.tokens, 1),
    repeats: whole("-r", values.repeats, 1),
    /** Seconds that one cache type may take before what is left of it is recorded as not finished. */
    limitSeconds: whole("--limit", values.limit, 1),
    /** Seconds to wait for the machine to become idle before measuring anyway. */
    settleSeconds: whole("--settle", values.settle, 0),
  };
}

/** Loads node-llama-cpp, installing it first; its scripts are not needed, the binaries are in its packages. */
async function loadPeer(): Promise<LlamaModule & { readonly version: string }> {
  const manifest = join(HERE, "node_modules/node-llama-cpp/package.json");
  if (!existsSync(manifest)) {
    console.error("llama-cpp: installing node-llama-cpp into bench/peers/node_modules …");
    const flags = ["--ignore-scripts", "--no-package-lock", "--no-audit", "--no-fund"];
    const { status } = spawnSync("npm", ["install", ...flags], { cwd: HERE, stdio: ["ignore", 2, 2] });
    if (status !== 0) {
      console.error("llama-cpp: npm install failed; this benchmark needs a package registry once");
      process.exit(1);
    }
  }
  const { version } = JSON.parse(readFileSync(manifest, "utf8")) as { version: string };
  const module = (await import("node-llama-cpp" as string)) as LlamaModule;
  return { getLlama: module.getLlama, version };
}

/** Share of the CPUs that was idle over half a second: neighbours spoil the figures, llama.cpp's threads spin. */
async function idleShare(): Promise<number> {
  const total = (): { idle: number; all: number } => {
    const times = os.cpus().map((cpu) => cpu.times);
    const idle = times.reduce((sum, t) => sum + t.idle, 0);
    return { idle, all: idle + times.reduce((sum, t) => sum + t.user + t.nice + t.sys + t.irq, 0) };
  };
  const before = total();
  await new Promise((resolve) => setTimeout(resolve, 500));
  const after = total();
  return (after.idle - before.idle) / Math.max(1, after.all - before.all);
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

function commit(): { commit: string; dirty: boolean } {
  const git = (...args: string[]): string =>
    spawnSync("git", args, { cwd: HERE, encoding: "utf8" }).stdout?.trim() ?? "";
  return {
    commit: git("rev-parse", "--short", "HEAD"),
    dirty: git("status", "--porcelain", "--untracked-files=no") !== "",
  };
}

function emit(row: Record<string, unknown>): void {
  const line = JSON.stringify(row);
  console.log(line);
  if (values.output) appendFileSync(values.output, `${line}\n`);
}

const options = readOptions();
const { config, threads } = options;
const modelPath = join(HERE, `${options.shapeName}-${config.numLayers}l-q8_0.gguf`);
const peer = await loadPeer();
if (!existsSync(modelPath)) {
  console.error(`llama-cpp: writing ${modelPath} …`);
  await writeRandomQwen3(modelPath, config);
}
const llama = await peer.getLlama({
  gpu: false,
  build: "never",
  skipDownload: true,
  maxThreads: threads,
  logLevel: "error",
});
const model = await llama.loadModel({ modelPath, gpuLayers: 0 });
const common = {
  benchmark: "peer-decode",
  engine: "node-llama-cpp",
  version: peer.version,
  llamaCpp: llama.llamaCppRelease.release,
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
    await sequence.controlledEvaluate([[token, { generateNext: { token: true, options: { temperature: 0 } } }]]);
    times.push(performance.now() - began);
  }
  await sequence.eraseContextTokenRanges([{ start, end: start + count }]);
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
  const context = await model.createContext({
    contextSize: Math.max(...options.depths) + options.tokens + 1,
    batchSize: CHUNK_TOKENS,
    threads: { ideal: threads, min: threads },
    flashAttention: true,
    experimentalKvCacheKeyType: CACHE_TYPES[kv],
    experimentalKvCacheValueType: CACHE_TYPES[kv],
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
await llama.dispose();
