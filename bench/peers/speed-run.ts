/** @file Options, repeats in turns, records and the table of the speed commands, whatever the two engines run in. */
import { appendFileSync, existsSync } from "node:fs";
import os from "node:os";
import { basename, join } from "node:path";
import { type Summary, summarize } from "../../src/bench/samples.ts";
import { testName } from "../../src/bench/throughput.ts";
import type { ModelConfig } from "../../src/models/config.ts";
import { shapeConfig } from "../../src/models/shapes.ts";
import { readCommandLine, refuse } from "../../tools/command-line.ts";
import { HERE } from "./install.ts";
import { CACHE_TYPES } from "./llama-peer.ts";
import { FILE_TYPES, writeRandomQwen3 } from "./random-qwen3.ts";
import { commit, idleShare } from "./record.ts";
import type { RunTest } from "./speed-test.ts";

/** Idle share of the CPUs below which figures are worth little. */
const IDLE = 0.9;

const OPTIONS = {
  shape: { type: "string", default: "qwen3-0.6b" },
  layers: { type: "string" },
  "file-type": { type: "string", default: "q4_k_m" },
  depths: { type: "string", short: "d", default: "0,4096" },
  prompt: { type: "string", short: "p", default: "512" },
  generation: { type: "string", short: "n", default: "32" },
  kv: { type: "string", default: "k4v4,f16" },
  "peer-kv": { type: "string", default: "f16,q8_0" },
  threads: { type: "string", short: "t", default: String(os.availableParallelism()) },
  repeats: { type: "string", short: "r", default: "5" },
  limit: { type: "string", default: "300" },
  json: { type: "boolean", default: false },
  output: { type: "string", short: "o" },
} as const;

/** Read before a program looks for anything else, so that it can tell its options wherever it is. */
const { values: flags, positionals } = readCommandLine({ allowPositionals: true, options: OPTIONS });

export interface SpeedOptions {
  /** The model's file. */
  readonly path: string;
  /** Tokens in the cache, ascending. */
  readonly depths: readonly number[];
  /** Tokens that are read, from an empty cache; 0: none. */
  readonly prompt: number;
  /** Tokens that are generated at each depth; 0: none. */
  readonly generation: number;
  readonly kv: readonly string[];
  readonly peerKv: readonly string[];
  readonly threads: number;
  readonly repeats: number;
  /** Tokens of the longest sequence. */
  readonly longest: number;
  /** Seconds that filling a cache may take. */
  readonly limitSeconds: number;
  readonly json: boolean;
  readonly output: string | undefined;
}

function whole(name: string, text: string, min: number): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= min) return value;
  return refuse(`${name}: expected a whole number from ${min}, got ${text}`);
}

function oneOf<T extends string>(name: string, choices: readonly T[], text: string): T {
  return choices.find((choice) => choice === text) ?? refuse(`${name}: expected ${choices.join(", ")}, got ${text}`);
}

/** Of the command line. Without a file one of random weights in a public shape is written, once. */
export async function readSpeedOptions(): Promise<SpeedOptions> {
  const depths = flags.depths
    .split(",")
    .map((depth) => whole("-d", depth, 0))
    .sort((a, b) => a - b);
  const [prompt, generation] = [whole("-p", flags.prompt, 0), whole("-n", flags.generation, 0)];
  const options = {
    ...{ depths, prompt, generation },
    kv: flags.kv.split(","),
    peerKv: flags["peer-kv"].split(",").map((type) => oneOf("--peer-kv", Object.keys(CACHE_TYPES), type)),
    threads: whole("-t", flags.threads, 1),
    repeats: whole("-r", flags.repeats, 1),
    longest: depths.at(-1)! + Math.max(prompt, generation) + 1,
    limitSeconds: whole("--limit", flags.limit, 1),
    json: flags.json,
    output: flags.output,
  };
  const [path] = positionals;
  if (positionals.length > 1) refuse("expected one file");
  if (path !== undefined) return existsSync(path) ? { ...options, path } : refuse(`${path}: no such file`);
  const fileType = oneOf("--file-type", FILE_TYPES, flags["file-type"]);
  const shape = shapeConfig(flags.shape);
  const numLayers = flags.layers ? whole("--layers", flags.layers, 1) : shape.numLayers;
  const written = join(HERE, `${flags.shape}-${numLayers}l-${fileType}.gguf`);
  if (!existsSync(written)) {
    console.error(`speed: writing ${written} …`);
    await writeRandomQwen3(written, { ...shape, numLayers } as ModelConfig, fileType);
  }
  return { ...options, path: written };
}

/** The first of the two is ours. */
export interface Engine {
  readonly name: string;
  readonly kv: readonly string[];
  run: RunTest;
}

interface Row {
  readonly engine: string;
  readonly kv: string;
  readonly test: string;
  readonly depth: number;
  readonly status: string;
  /** Idle share of the CPUs before the repeats. */
  readonly idleBefore: number;
  readonly samplesMs: readonly number[];
  readonly tokPerSec: Summary | null;
}

/** Runs all tests, prints the table or the JSON, and appends records. about: what runs, for the record */
export async function compareSpeed(
  engines: readonly [ours: Engine, peer: Engine],
  options: SpeedOptions,
  about: Readonly<Record<string, unknown>>,
): Promise<void> {
  const { path, threads, repeats, json, output } = options;
  const record = {
    ...about,
    ...commit(),
    date: new Date().toISOString(),
    cpu: os.cpus()[0]?.model,
    node: process.version,
    model: basename(path),
    threads,
    repeats,
  };
  const rows: Row[] = [];
  for (const { name, depth, prompt, generation } of testsOf(options)) {
    console.error(`speed: ${name}: warm-up`);
    const { samples, idleBefore } = await sample(engines, { depth, prompt, generation }, repeats);
    for (const { engine, kv, times } of samples) {
      const rates = times?.map((ms) => ((prompt + generation) * 1000) / ms);
      const status = rates ? "ok" : `not finished in ${options.limitSeconds} s`;
      const tokPerSec = rates ? summarize(rates) : null;
      const row = { engine: engine.name, kv, test: name, depth, status, idleBefore, samplesMs: times ?? [], tokPerSec };
      rows.push(row);
      if (output) appendFileSync(output, `${JSON.stringify({ ...record, ...row })}\n`);
    }
  }
  const [own, peer] = engines;
  /** The best median of the peer's cache types in a test. */
  const best = (test: string): number =>
    Math.max(
      ...rows.filter((row) => row.test === test && row.engine === peer.name).map((row) => row.tokPerSec?.median ?? 0),
    );
  const all = rows.map((row) => ({
    ...row,
    ratioToPeer: row.engine === own.name && row.tokPerSec ? row.tokPerSec.median / best(row.test) : null,
  }));
  if (json) {
    console.log(JSON.stringify({ ...record, rows: all }));
    return;
  }
  console.log(
    `${basename(path)}, ${threads} threads: median of ${repeats} in tokens/s [least, most], to the peer's best`,
  );
  for (const { test, engine, kv, tokPerSec, status, ratioToPeer } of all) {
    const [median, least, most] = [tokPerSec?.median, tokPerSec?.min, tokPerSec?.max].map((rate) => rate?.toFixed(1));
    const rate = tokPerSec ? `${median} [${least}, ${most}]` : status;
    const ratio = ratioToPeer ? `${ratioToPeer.toFixed(2)}×` : "";
    console.log(`${test.padEnd(16)} ${engine.padEnd(11)} ${kv.padEnd(8)} ${rate.padEnd(24)} ${ratio}`);
  }
}

function testsOf({ depths, prompt, generation }: SpeedOptions) {
  return depths.flatMap((depth) => [
    ...(prompt > 0 && depth === depths[0] ? [{ name: testName(prompt, 0, depth), depth, prompt, generation: 0 }] : []),
    ...(generation > 0 ? [{ name: testName(0, generation, depth), depth, prompt: 0, generation }] : []),
  ]);
}

/** Each cache type of both engines in turns, after a warm-up that is one repeat; times are null where one took too long. */
async function sample(
  engines: readonly Engine[],
  test: { depth: number; prompt: number; generation: number },
  repeats: number,
) {
  const most = Math.max(...engines.map(({ kv }) => kv.length));
  /** One of ours, one of theirs, and so on. */
  const contenders = Array.from({ length: most }, (_, i) =>
    engines.filter(({ kv }) => i < kv.length).map((engine) => ({ engine, kv: engine.kv[i]! })),
  ).flat();
  const samples: { engine: Engine; kv: string; times: number[] | null }[] = [];
  for (const contender of contenders) {
    const first = await contender.engine.run({ ...test, kv: contender.kv });
    samples.push({ ...contender, times: first === null ? null : [] });
  }
  const idleBefore = await idleShare();
  if (idleBefore < IDLE) {
    console.error(`speed: only ${Math.round(idleBefore * 100)} % of the CPUs are idle; the figures will be bad`);
  }
  for (let repeat = 0; repeat < repeats; repeat++) {
    for (const own of samples) {
      const ms = own.times && (await own.engine.run({ ...test, kv: own.kv }));
      if (ms === null) own.times = null;
      else own.times?.push(ms);
    }
  }
  return { samples, idleBefore };
}
