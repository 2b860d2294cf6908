/** @file `turboquant bench memory`: bytes of a long cache as allocated, and as the operating system counts them. */
import type { Command } from "commander";
import { Option } from "commander";
import { type FillResult, fillCache } from "../../bench/memory.ts";
import { formatBytes } from "../../format-number.ts";
import { shapeConfig } from "../../models/shapes.ts";
import { parseKvSpec } from "../../quant/parse-kv-spec.ts";
import { addBenchOutputOptions, BenchOutput, type BenchOutputFlags, left, right } from "../bench-output.ts";
import { type CommandContext, progressOf } from "../context.ts";
import { formatPercent } from "../format.ts";
import { measureInChild } from "../measure-in-child.ts";
import { type BackendFlags, collectKv, wholeNumber } from "../options.ts";
import { ResidentMemory } from "../resident-memory.ts";

interface MemoryFlags extends BenchOutputFlags {
  readonly shape: string;
  readonly layers?: number;
  readonly tokens: number;
  readonly kv?: readonly string[];
  readonly threads?: number;
  readonly backend: BackendFlags["backend"];
  readonly child?: boolean;
}

export function configure(command: Command, context: CommandContext): void {
  command
    .summary("bytes of a long cache, allocated and resident")
    .description(
      "Fills every layer of a cache with random keys and values, each format in a process of its own, and compares the bytes of " +
        "its pages with the growth of that process's resident memory.",
    )
    .option("--shape <name>", "layers and heads of a public shape", "qwen3-0.6b")
    .option("--layers <n>", "keep only the first layers of the shape", wholeNumber(1))
    .option("--tokens <n>", "tokens in the cache", wholeNumber(1), 32_768)
    .option(
      "--kv <list>",
      "KV formats; the first is the one to compare with (default: f16 and k4v4,sinks=0,window=0)",
      collectKv,
    )
    .option("-t, --threads <n>", "threads (default: all processors)", wholeNumber(1))
    .option("--backend <name>", "what computes", "auto")
    .addOption(new Option("--child", "measure one format in this process").hideHelp());
  addBenchOutputOptions(command)
    .addHelpText(
      "after",
      "\nExamples:\n  $ turboquant bench memory --shape qwen3-0.6b\n  $ turboquant bench memory --layers 4 --kv f16,k4v4,k8v8",
    )
    .action((flags: MemoryFlags) => (flags.child ? measure(flags, context) : run(flags, context)));
}

/** Runs in the child process: measures one format and prints one JSON object. */
async function measure(flags: MemoryFlags, context: CommandContext): Promise<void> {
  const progress = progressOf(context, flags);
  const memory = new ResidentMemory();
  const result = await fillCache({
    config: shapeConfig(flags.shape, flags.layers),
    kv: flags.kv![0]!,
    tokens: flags.tokens,
    backend: flags.backend,
    ...(flags.threads !== undefined && { threads: flags.threads }),
    residentBytes: () => memory.bytesAfterGc(),
    signal: context.signal,
    onProgress: (what, done, total) => progress.update(what, done, total, `${done} of ${total} tokens`),
  });
  progress.clear();
  context.io.stdout.write(`${JSON.stringify(result)}\n`);
}

async function run(flags: MemoryFlags, context: CommandContext): Promise<void> {
  const kv = flags.kv ?? ["f16", "k4v4,sinks=0,window=0"];
  for (const spec of kv) parseKvSpec(spec);
  shapeConfig(flags.shape);
  const output = await BenchOutput.create(context, flags, [
    left("kv"),
    right("allocated"),
    right("times smaller"),
    right("resident"),
    right("saved, allocated"),
    right("saved, resident"),
    right("difference"),
  ]);
  let first: FillResult | undefined;
  for (const spec of kv) {
    const argv = ["bench", "memory", "--child", "--shape", flags.shape, "--tokens", `${flags.tokens}`, "--kv", spec];
    argv.push("--backend", flags.backend);
    if (flags.layers !== undefined) argv.push("--layers", `${flags.layers}`);
    if (flags.threads !== undefined) argv.push("--threads", `${flags.threads}`);
    if (flags.quiet) argv.push("--quiet");
    const result = await measureInChild<FillResult>(argv, context.signal);
    first ??= result;
    const ratio = first.numBytes / result.numBytes;
    const savedBytes = first.numBytes - result.numBytes;
    const savedResident = first.residentBytes - result.residentBytes;
    const isFirst = result === first;
    output.add(
      [
        spec,
        formatBytes(result.numBytes),
        ratio.toFixed(3),
        formatBytes(result.residentBytes),
        isFirst ? "–" : formatBytes(savedBytes),
        isFirst ? "–" : formatBytes(savedResident),
        isFirst ? "–" : formatPercent(savedResident / savedBytes - 1),
      ],
      {
        test: "memory",
        shape: flags.shape,
        n_layers: shapeConfig(flags.shape, flags.layers).numLayers,
        kv: spec,
        n_depth: flags.tokens,
        kv_bytes: result.numBytes,
        storage_bytes: result.storageBytes,
        resident_bytes: result.residentBytes,
        ratio,
        saved_bytes: savedBytes,
        saved_resident_bytes: savedResident,
      },
    );
  }
  output.end([`${flags.shape}: ${flags.tokens} tokens, ${shapeConfig(flags.shape, flags.layers).numLayers} layers`]);
}
