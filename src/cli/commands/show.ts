/** @file `turboquant show`: where a model lies, its revision and licence, and what `inspect` says of it. */
import type { Command } from "commander";
import { formatBytes } from "../../format-number.ts";
import type { HubOptions } from "../../node/hub/pull-model.ts";
import { openMetadataSource } from "../../node/metadata-source.ts";
import { licenseOf, type ModelPlace, placeOfModel } from "../../node/shelf/model-place.ts";
import { type CommandContext, progressOf } from "../context.ts";
import { plainTable, tableWidth } from "../format.ts";
import type { OutputFlags } from "../options.ts";
import { inspectModel } from "./inspect.ts";

export function configure(command: Command, context: CommandContext): void {
  command
    .description(
      "Shows where a model's files lie, their size, revision, quantization and licence, and what inspect says of it. Of a model that is " +
        "not here, what pull would download; only its headers are read.",
    )
    .argument("<model>", "as turboquant list prints it, or any other name that --model takes")
    .option("--json", "print one JSON object and nothing else on stdout")
    .option("--quiet", "no progress on stderr")
    .addHelpText(
      "after",
      `
Examples:
  $ turboquant show qwen3-3m
  $ turboquant show unsloth/Qwen3-0.6B-GGUF:Q4_K_M --json`,
    )
    .action((ref: string, flags: OutputFlags) => run(ref, flags, context));
}

async function run(ref: string, flags: OutputFlags, context: CommandContext): Promise<void> {
  const progress = progressOf(context, flags);
  const options: HubOptions = { signal: context.signal, onProgress: progress.onEvent };
  const place = await placeOfModel(ref, options);
  const source = await openMetadataSource(ref, options);
  let license = place.license ?? null;
  let report: Awaited<ReturnType<typeof inspectModel>>;
  try {
    license ??= await licenseOf(source);
    report = await inspectModel(source, flags, tableWidth(context.io.stdout));
  } finally {
    await source.close();
  }
  const { json, text } = report;
  progress.clear();
  const bytes = place.files.reduce((sum, { size }) => sum + size, 0);
  context.io.stdout.write(
    flags.json
      ? `${JSON.stringify({ place: { ...place, bytes, license }, ...json })}\n`
      : `${placeText(place, bytes, license)}\n${text}`,
  );
}

const ORIGINS: Readonly<Record<ModelPlace["origin"], string>> = {
  files: "files of yours",
  package: "this package",
  hub: "the hub's cache",
  remote: "the hub; not on this machine",
  "llama.cpp": "llama.cpp's cache",
  ollama: "Ollama",
};

function placeText(
  { name, origin, path, files, quant, revision }: ModelPlace,
  bytes: number,
  license: string | null,
): string {
  const rows = [
    ["name", name],
    ["from", ORIGINS[origin]],
    ...(path === null ? [] : [["path", path]]),
    ["files", `${formatBytes(bytes)} in ${files.length}: ${names(files.map((file) => file.path))}`],
    ...(quant === null ? [] : [["quantization", quant]]),
    ...(revision === null ? [] : [["revision", revision]]),
    ["license", license ?? "not said"],
  ];
  return plainTable(rows, ["left", "left"]);
}

const names = (paths: readonly string[]): string =>
  paths.slice(0, 8).join(", ") + (paths.length > 8 ? ` and ${paths.length - 8} more` : "");
