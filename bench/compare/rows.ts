/**
 * @file What two builds are compared by. Kernels, models and loading are measured in this process, for a second or so of one build and
 * then of the other: a machine whose clock changes by the half from minute to minute is the same for both. The append kernel and the
 * server are commands of both checkouts.
 */
import { execFile } from "node:child_process";
import { pathToFileURL } from "node:url";
import { promisify } from "node:util";

const execute = promisify(execFile);

/** A time or rate of one run. */
export interface Reading {
  readonly name: string;
  readonly value: number;
  /** Whether `value` is a rate, so that more is better. */
  readonly isRate: boolean;
}

/** Takes the readings of one build; both builds are asked in turn. */
export type Measure = (root: string) => Promise<Reading[]>;

async function output(root: string, command: string, args: readonly string[]): Promise<string> {
  const { stdout } = await execute(command, args, { cwd: root, encoding: "utf8", maxBuffer: 1 << 28 });
  return stdout;
}

function rowsOf(text: string): Record<string, never>[] {
  return text
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
}

/** What the bench modules of a build have had under these names since the first comparison. */
interface Build {
  readonly benchAttention: (options: object) => AsyncIterable<{ readonly msPer1k: { readonly median: number } }>;
  readonly benchThroughput: (
    model: object,
    options: object,
  ) => AsyncIterable<{ readonly test: string; readonly samplesMs: readonly number[] }>;
  readonly loadBenchModel: (ref: string, options: object) => Promise<object>;
  readonly makeShapeModel: (shape: string, options: object) => Promise<object>;
  readonly shapeConfig: (shape: string) => object;
  readonly LLM: { load(model: string, options: object): Promise<{ dispose(): Promise<void> }> };
}

const kept = new Map<string, Promise<never>>();
/** Made once a name: compiled code and models stay, so that a round is short and no part of it warms up. */
function keep<T>(name: string, make: () => Promise<T>): Promise<T> {
  if (!kept.has(name)) kept.set(name, make() as Promise<never>);
  return kept.get(name)!;
}

/** Both builds run in this process, with modules, kernels and threads of their own. */
const buildOf = (root: string): Promise<Build> =>
  keep(root, async () => {
    const files = [
      "bench/attention",
      "bench/throughput",
      "bench/bench-model",
      "models/shapes",
      "node/install",
      "index",
    ];
    const modules = await Promise.all(files.map((file) => import(pathToFileURL(`${root}/dist/${file}.js`).href)));
    return Object.assign({}, ...modules);
  });

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1]!;
const threadText = (threads: number): string => `${threads} thread${threads === 1 ? "" : "s"}`;
const SHAPE = "qwen3-0.6b";

const time = (name: string, value: number): Reading => ({ name, value, isRate: false });

const attention =
  (kv: string, depth: number, threads: number): Measure =>
  async (root) => {
    const { benchAttention, shapeConfig } = await buildOf(root);
    const options = { config: shapeConfig(SHAPE), backend: "wasm", threads: [threads], depths: [depth], kv: [kv] };
    const readings: Reading[] = [];
    for await (const { msPer1k } of benchAttention({ ...options, repeats: 5 })) {
      readings.push(time(`attention ${kv}, ${SHAPE}, depth ${depth}, ${threadText(threads)}`, msPer1k.median));
    }
    return readings;
  };

interface Tokens {
  readonly prompt?: number;
  readonly generation?: number;
  readonly depth?: number;
}

/** A model that is opened once a build and number of threads. */
interface Model {
  readonly name: string;
  open(build: Build, threads: number): Promise<object>;
}

const tokens =
  (model: Model, { prompt = 0, generation = 0, depth = 0 }: Tokens, kv: string, threads: number): Measure =>
  async (root) => {
    const build = await buildOf(root);
    const opened = await keep(`${root} ${model.name} ${threads}`, () => model.open(build, threads));
    const options = {
      ...{ prompts: prompt > 0 ? [prompt] : [], generations: generation > 0 ? [generation] : [], depths: [depth] },
      ...{ kv: [kv], repeats: 5, fill: "prefill" },
    };
    const readings: Reading[] = [];
    for await (const { test, samplesMs } of build.benchThroughput(opened, options)) {
      readings.push(time(`${test} ${kv}, ${model.name}, ${threadText(threads)}`, median(samplesMs)));
    }
    return readings;
  };

const load =
  (kv: string, model: string): Measure =>
  async (root) => {
    const { LLM } = await buildOf(root);
    const times: number[] = [];
    for (let i = 0; i < 5; i++) {
      const start = performance.now();
      const llm = await LLM.load(model, { backend: "wasm", kv, contextLength: 1024 });
      times.push(performance.now() - start);
      await llm.dispose();
    }
    return [time(`load ${kv}`, median(times))];
  };

async function append(root: string): Promise<Reading[]> {
  const text = await output(root, "npx", ["tsx", "bench/kernels/append.ts", "--head-dim", "128", "--seconds", "1"]);
  return text
    .trim()
    .split("\n")
    .flatMap((line) => {
      const [, what, plain, calibrated] = /^(.*): plain .*?\(median ([\d.]+)\), calibrated [\d.]+ \(([\d.]+)\)/.exec(
        line,
      )!;
      return [time(`append ${what}, µs`, Number(plain)), time(`append ${what}, calibrated, µs`, Number(calibrated))];
    });
}

async function server(root: string, threads: string): Promise<Reading[]> {
  const main = ["tsx", "bench/server/main.ts"];
  const [batching, prefix] = rowsOf(
    await output(root, "npx", [...main, "batching", "shared-prefix", "--repeats", "9", "-t", threads]),
  );
  const loaded = await output(root, "npx", [...main, "load", "--clients", "16", "--seconds", "20", "-t", threads]);
  const busy = rowsOf(loaded)[0]!;
  const rates = { ...batching, ...prefix, ...busy } as Record<string, unknown>;
  const reading = (name: string, field: string, isRate: boolean): Reading[] =>
    typeof rates[field] === "number" ? [{ name: `server ${name}`, value: rates[field], isRate }] : [];
  return [
    ...reading("one stream, tok/s", "single_tok_per_s", true),
    ...reading("8 streams, tok/s", "batch_tok_per_s", true),
    ...reading("16 clients, tok/s", "tok_per_s", true),
    ...reading("16 clients, median of the time to the first token, ms", "ttft_ms_p50", false),
    ...reading("first token of a prompt that is known, ms", "warm_ttft_ms", false),
    ...reading("first token of a prompt that is not, ms", "cold_ttft_ms", false),
  ];
}

const FORMATS = ["f16", "k4v4", "k3v3"] as const;

/** model: a checkpoint that both know */
export function partsOf(model: string, threads: readonly number[]): Record<string, readonly Measure[]> {
  const most = threads.at(-1)!;
  const each = (make: (kv: string, threads: number) => readonly Measure[]): Measure[] =>
    threads.flatMap((count) => FORMATS.flatMap((kv) => make(kv, count)));
  const checkpoint: Model = {
    name: model,
    open: ({ loadBenchModel }, count) =>
      loadBenchModel(model, { backend: "wasm", weights: "auto", threads: count, kv: FORMATS }),
  };
  const shape: Model = {
    name: SHAPE,
    open: ({ makeShapeModel }, count) =>
      makeShapeModel(SHAPE, { backend: "wasm", weights: "q8", threads: count, kv: FORMATS, layers: 4 }),
  };
  return {
    attention: each((kv, count) => [1024, 16_384].map((depth) => attention(kv, depth, count))),
    decode: each((kv, count) => [0, 2048].map((depth) => tokens(checkpoint, { generation: 128, depth }, kv, count))),
    layers: FORMATS.flatMap((kv) => [{ prompt: 512 }, { generation: 32 }].map((test) => tokens(shape, test, kv, most))),
    prefill: each((kv, count) => [tokens(checkpoint, { prompt: 512 }, kv, count)]),
    append: [append],
    load: ["f16", "k4v4"].map((kv) => load(kv, model)),
    server: [(root) => server(root, `${most}`)],
  };
}
