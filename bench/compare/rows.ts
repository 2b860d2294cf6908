/** @file What two checkouts are compared by: each part is a command that both know, and how its output is read. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";

const execute = promisify(execFile);

/** A time or rate of one run. */
export interface Reading {
  readonly name: string;
  readonly value: number;
  /** Whether `value` is a rate, so that more is better. */
  readonly isRate: boolean;
}

export type Part = (root: string) => Promise<Reading[]>;

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

async function bench(root: string, args: readonly string[]): Promise<Reading[]> {
  const text = await output(root, process.execPath, ["dist/cli/main.js", "bench", ...args, "-o", "jsonl", "--quiet"]);
  return rowsOf(text).map((row) => {
    const { test, kv, n_threads, n_depth, model_type, shape } = row as Record<string, unknown>;
    const name = `${test} ${kv}, ${shape ?? model_type}, depth ${n_depth}, ${n_threads} thread${n_threads === 1 ? "" : "s"}`;
    const time = row["ms_per_1k_median"] as number | undefined;
    return time === undefined ? { name, value: row["median_ts"]!, isRate: true } : { name, value: time, isRate: false };
  });
}

/** Runs in a process of its own in the checkout: milliseconds that `LLM.load` takes once kernels are compiled. */
const LOAD = `
  const { LLM } = await import("turboquant");
  for (const kv of ["f16", "k4v4"]) {
    const times = [];
    for (let i = 0; i < 8; i++) {
      const start = performance.now();
      const llm = await LLM.load(process.argv[1], { backend: "wasm", kv, contextLength: 1024 });
      times.push(performance.now() - start);
      await llm.dispose();
    }
    const sorted = times.slice(1).sort((a, b) => a - b);
    console.log(JSON.stringify({ kv, ms: sorted[sorted.length >> 1] }));
  }
`;

async function load(root: string, model: string): Promise<Reading[]> {
  const text = await output(root, process.execPath, ["--input-type=module", "-e", LOAD, model]);
  return rowsOf(text).map((row) => ({ name: `load ${row["kv"]}, ms`, value: row["ms"]!, isRate: false }));
}

async function append(root: string): Promise<Reading[]> {
  const text = await output(root, "npx", ["tsx", "bench/kernels/append.ts", "--head-dim", "128", "--seconds", "2"]);
  return text
    .trim()
    .split("\n")
    .flatMap((line) => {
      const [, what, plain, calibrated] = /^(.*): plain .*?\(median ([\d.]+)\), calibrated [\d.]+ \(([\d.]+)\)/.exec(
        line,
      )!;
      return [
        { name: `append ${what}, µs`, value: Number(plain), isRate: false },
        { name: `append ${what}, calibrated, µs`, value: Number(calibrated), isRate: false },
      ];
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

/** model: a checkpoint that both know; threads: a list as `bench -t` takes it */
export function partsOf(model: string, threads: string): Record<string, Part> {
  const most = threads.split(",").at(-1)!;
  const shape = ["--shape", "qwen3-0.6b"];
  const kv = ["--kv", FORMATS.join(",")];
  return {
    // Each format in a process of its own: where formats take turns, short caches of one are evicted by the next, and which of
    // two neighbours pays for it differs from commit to commit by more than what is looked for here.
    attention: async (root) => {
      // As many repeats as of decoding, for the same reason.
      const args = ["attention", ...shape, "-d", "1024,16384", "-t", threads, "-r", "25"];
      const readings: Reading[] = [];
      for (const format of FORMATS) readings.push(...(await bench(root, [...args, "--kv", format])));
      return readings;
    },
    // Many repeats: the first half-second of a small model's decoding is JavaScript and WebAssembly not compiled to the end yet.
    decode: (root) =>
      bench(root, ["-m", model, "-p", "0", "-n", "128", "-d", "0,2048", ...kv, "-t", threads, "-r", "25"]),
    layers: (root) =>
      bench(root, [
        ...shape,
        "--layers",
        "4",
        "--weights",
        "q8",
        "-p",
        "512",
        "-n",
        "32",
        ...kv,
        "-t",
        most,
        "-r",
        "3",
      ]),
    prefill: (root) => bench(root, ["-m", model, "-p", "512", "-n", "0", ...kv, "-t", threads, "-r", "9"]),
    append,
    load: (root) => load(root, model),
    server: (root) => server(root, most),
  };
}
