/** @file `turboquant bench load`: time of loading beside that of reading, and resident memory beside the plan. */
import { type Command, Option } from "commander";
import type { WeightType } from "../../backends/ops.ts";
import { benchLoad, type LoadResult, type Timing } from "../../bench/load.ts";
import { formatBytes, significant } from "../../format-number.ts";
import { addBenchOutputOptions, BenchOutput, type BenchOutputFlags, left, right } from "../bench-output.ts";
import { type CommandContext, progressOf } from "../context.ts";
import { formatPercent } from "../format.ts";
import { measureInChild } from "../measure-in-child.ts";
import { type BackendFlags, DEFAULT_MODEL, weightsList, wholeNumber } from "../options.ts";
import { ResidentMemory } from "../resident-memory.ts";

interface LoadFlags extends BenchOutputFlags {
  readonly model: string;
  readonly weights: readonly (WeightType | "auto")[];
  readonly threads?: number;
  readonly backend: BackendFlags["backend"];
  readonly repeats: number;
  readonly child?: boolean;
}

export function configure(command: Command, context: CommandContext): void {
  command
    .summary("loading: time beside that of reading, memory beside the plan")
    .description(
      "Loads a model and reads the same bytes alone, in turn, into buffers that go round and into memory that is new, as weights are; each way to keep weights in a process of its own. The files are in the " +
        "page cache: the first load brings them there and is not timed; its memory is measured.",
    )
    .option("-m, --model <ref>", "checkpoint", DEFAULT_MODEL)
    .option("--weights <list>", "how weights are kept, comma separated", weightsList, ["auto"])
    .option("--backend <name>", "what computes", "auto")
    .option("-t, --threads <n>", "threads (default: all processors)", wholeNumber(1))
    .option("-r, --repeats <n>", "samples of each", wholeNumber(1), 5)
    .addOption(new Option("--child", "measure in this process").hideHelp());
  addBenchOutputOptions(command)
    .addHelpText(
      "after",
      "\nExamples:\n  $ turboquant bench load\n  $ turboquant bench load -m model.gguf --weights auto,q8,q4 --backend wasm --json",
    )
    .action((flags: LoadFlags) => (flags.child ? measure(flags, context) : run(flags, context)));
}

/** Runs in the child process: measures one way to keep weights and prints one JSON object. */
async function measure(flags: LoadFlags, context: CommandContext): Promise<void> {
  const progress = progressOf(context, flags);
  const result = await benchLoad(flags.model, {
    backend: flags.backend,
    weights: flags.weights[0]!,
    repeats: flags.repeats,
    gauge: new ResidentMemory(),
    signal: context.signal,
    onProgress: progress.onEvent,
    ...(flags.threads !== undefined && { threads: flags.threads }),
  });
  progress.clear();
  context.io.stdout.write(`${JSON.stringify(result)}\n`);
}

async function run(flags: LoadFlags, context: CommandContext): Promise<void> {
  const output = await BenchOutput.create(context, flags, [
    left("model"),
    left("weights"),
    right("read"),
    right("read, ms"),
    right("into new, ms"),
    right("load, ms"),
    right("load / read"),
    right("CPU ms"),
    right("peak"),
    right("resident"),
    right("of it JavaScript"),
    right("planned"),
    right("difference"),
  ]);
  let backend = "";
  for (const weights of flags.weights) {
    const argv = ["bench", "load", "--child", "--model", flags.model, "--weights", weights];
    argv.push("--backend", flags.backend, "--repeats", `${flags.repeats}`);
    if (flags.threads !== undefined) argv.push("--threads", `${flags.threads}`);
    if (flags.quiet) argv.push("--quiet");
    const result = await measureInChild<LoadResult>(argv, context.signal);
    backend = result.backend;
    const [read, load] = [medianOf(result.reads, "ms"), medianOf(result.loads, "ms")];
    const newRead = medianOf(result.newReads, "ms");
    const ratio = load / read;
    const difference = (result.residentBytes - result.heapBytes) / result.plannedBytes - 1;
    const cpu = medianOf(result.loads, "cpuMs");
    output.add(
      [
        result.model,
        weights,
        formatBytes(result.readBytes),
        significant(read),
        significant(newRead),
        significant(load),
        ratio.toFixed(2),
        significant(cpu),
        formatBytes(result.peakBytes),
        formatBytes(result.residentBytes),
        formatBytes(result.heapBytes),
        formatBytes(result.plannedBytes),
        formatPercent(difference),
      ],
      {
        test: "load",
        backend,
        model_type: result.model,
        weights,
        kept_as: result.keptAs,
        n_threads: flags.threads ?? null,
        read_bytes: result.readBytes,
        read_ms: read,
        new_read_ms: newRead,
        load_ms: load,
        load_ratio: ratio,
        read_cpu_ms: medianOf(result.reads, "cpuMs"),
        load_cpu_ms: cpu,
        reads: result.reads,
        new_reads: result.newReads,
        loads: result.loads,
        peak_bytes: result.peakBytes,
        resident_bytes: result.residentBytes,
        heap_bytes: result.heapBytes,
        used_bytes: result.usedBytes,
        planned_bytes: result.plannedBytes,
        difference,
      },
    );
  }
  output.end([
    `${backend}; peak and resident: growth over the started backend; difference: of resident memory without JavaScript's to the planned weights`,
  ]);
}

function medianOf(timings: readonly Timing[], what: keyof Timing): number {
  const sorted = timings.map((timing) => timing[what]).sort((a, b) => a - b);
  return sorted[sorted.length >> 1]!;
}
