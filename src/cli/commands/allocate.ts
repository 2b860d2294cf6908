/** @file `turboquant allocate`: finds the layers that need more bits, and prints a KV spec that gives them. */
import type { Command } from "commander";
import { TurboQuantError } from "../../errors.ts";
import { type Allocation, allocate, bitsForBytes, checkAllocation } from "../../eval/allocate.ts";
import { checkCalibrations } from "../../eval/format-decoders.ts";
import { parseRecipe } from "../../eval/layer-spec.ts";
import { writeFileAtomically } from "../../node/write-file-atomically.ts";
import { buildCommit } from "../build-info.ts";
import { type CommandContext, progressOf } from "../context.ts";
import { checkLengths } from "../eval/check-lengths.ts";
import { allocationReport } from "../eval/print-allocation.ts";
import { addTextOptions, readTextFile, type TextFlags, textOrOwn } from "../eval/text-input.ts";
import { tableWidth } from "../format.ts";
import { loadModel } from "../load-model.ts";
import {
  addBackendOptions,
  addModelOption,
  addOutputOptions,
  addThreadsOption,
  type BackendFlags,
  backendOptionsOf,
  baseOption,
  byteSize,
  calibrationOption,
  type OutputFlags,
  realNumber,
  wholeNumber,
  wholeNumbers,
} from "../options.ts";
import { checkOutputFile, writeOutput } from "../output-file.ts";

interface AllocateFlags extends BackendFlags, OutputFlags, Omit<TextFlags, "quiet"> {
  readonly model: string;
  readonly kv: string;
  readonly base: string;
  readonly bits?: number;
  readonly bytes?: number;
  readonly widths: readonly number[];
  readonly measure: readonly number[];
  readonly ctx: number;
  readonly chunks: number;
  readonly verifyChunks: number;
  readonly out?: string;
}

export function configure(command: Command, context: CommandContext): void {
  command.description(
    "Shares the bits of a KV cache out among layers and among K and V. One side of one layer at a time is quantized and the " +
      "divergence measured; the widths of least total divergence under the budget are then verified as a whole, on another " +
      "part of the text, beside uniform widths of the same bytes.",
  );
  addTextOptions(addModelOption(command))
    .option("--kv <spec>", "kNvM preset whose modifiers every layer takes", "k4v4")
    .option("--bits <mean>", "budget: code bits a value on average, scales on top (default: those of --kv)", realNumber)
    .option("--bytes <size>", "budget: bytes of codes and scales a token, all layers, instead of --bits", byteSize)
    .option("--widths <list>", "widths to choose from", wholeNumbers(1), [2, 3, 4, 5, 6, 8])
    .option("--measure <list>", "widths measured, the others are interpolated", wholeNumbers(1), [2, 4, 6])
    .addOption(baseOption())
    .option("-c, --ctx <tokens>", "tokens of a chunk", wholeNumber(2), 1024)
    .option("--chunks <n>", "chunks for the measurement", wholeNumber(1), 2)
    .option("--verify-chunks <n>", "chunks after those, for the verification", wholeNumber(1), 4)
    .option("--out <file>", "also write the object of --json to this file");
  addBackendOptions(command);
  addThreadsOption(command);
  addOutputOptions(command)
    .addHelpText(
      "after",
      `
Examples:
  $ turboquant allocate --text novel.txt --bits 3
  $ turboquant allocate --text novel.txt --kv k4v4,sinks=0,window=0 --bits 3.5 --widths 2,3,4,5,6,7,8
  $ turboquant allocate --model ./Qwen3-0.6B --text novel.txt --bytes 60kB --chunks 1 --measure 4 --json`,
    )
    .action((flags: AllocateFlags) => run(flags, context));
}

async function run(flags: AllocateFlags, context: CommandContext): Promise<void> {
  const { io, signal } = context;
  const { bits: own } = parseRecipe(flags.kv);
  if (flags.bits !== undefined && flags.bytes !== undefined) {
    throw new TurboQuantError("invalid_argument", "allocate: --bits and --bytes both set the budget; pass one of them");
  }
  if (flags.out !== undefined) await checkOutputFile("--out", flags.out);
  const file = await readTextFile(flags.text);
  const progress = progressOf(context, flags);
  await using llm = await loadModel(flags, context, progress, {
    ...backendOptionsOf(flags),
    ...calibrationOption(),
    kv: flags.base,
    otherKv: [flags.kv],
  });
  const { kv, base, widths, measure, ctx, chunks, verifyChunks } = flags;
  const bits = flags.bits ?? (flags.bytes !== undefined ? bitsForBytes(llm, flags.bytes) : (own.k + own.v) / 2);
  // Before a text is written, which takes a while.
  checkLengths(llm, { "--ctx": [ctx] });
  checkAllocation(llm, { kv, base, bits, widths, measure, ctx });
  await checkCalibrations(llm, [kv]);
  const text = await textOrOwn(file, llm, ctx * (chunks + verifyChunks), flags, context, progress);
  const allocation = await allocate(llm, {
    text: text.text,
    textSource: text.source,
    kv,
    base,
    bits,
    widths,
    measure,
    ctx,
    chunks,
    verifyChunks,
    signal,
    onProgress: progress.onEvent,
  });
  progress.clear();
  const json = JSON.stringify(await toJson(allocation, { model: llm.name, recipe: kv, chunks, verifyChunks, ctx }));
  io.stdout.write(flags.json ? `${json}\n` : allocationReport(allocation, flags, tableWidth(io.stdout)));
  const { out } = flags;
  if (out !== undefined)
    await writeOutput("--out", out, () => writeFileAtomically(out, new TextEncoder().encode(`${json}\n`)));
}

/** `kv` is the spec to paste; the other fields are the measurements behind it. */
async function toJson({ best, bestUniform, ...rest }: Allocation, settings: object) {
  const commit = await buildCommit();
  return { kv: best.kv, ...settings, ...rest, uniform: bestUniform.kv, commit, date: new Date().toISOString() };
}
