/** @file `turboquant print-kernel`: prints the WGSL that a GPU would be given. It needs no GPU. */
import { type Command, InvalidArgumentError, Option } from "commander";
import type { WeightType } from "../../backends/ops.ts";
import { closest } from "../../closest.ts";
import { DEFAULT_KV } from "../../engine/load-options.ts";
import { TurboQuantError } from "../../errors.ts";
import { openCheckpoint } from "../../formats/open-checkpoint.ts";
import { calibratedShape, loadCalibration } from "../../models/calibration-file.ts";
import { parseModelConfig } from "../../models/config.ts";
import { layerKindsOf, layoutOf } from "../../models/layout.ts";
import { shapeConfig, shapeNames } from "../../models/shapes.ts";
import { readPlannedModel } from "../../plan/read-model.ts";
import { type KvSpec, parseKvSpec } from "../../quant/parse-kv-spec.ts";
import type { CommandContext } from "../context.ts";
import { plainTable } from "../format.ts";
import { type DescribedFeatures, type KernelRequest, type KernelText, kernelTexts } from "../kernels/kernel-texts.ts";
import { addModelOption, type OutputFlags, WEIGHTS, wholeNumber } from "../options.ts";
import { withMetadata } from "../with-metadata.ts";

const FEATURES = ["shader-f16", "subgroups", "chromium-experimental-subgroup-matrix"] as const;
type Feature = (typeof FEATURES)[number];

interface PrintKernelFlags extends OutputFlags {
  readonly model: string;
  readonly shape?: string;
  readonly kv: string;
  readonly weights: WeightType | "auto";
  readonly ctx?: number;
  readonly features: readonly Feature[];
  readonly subgroupSize: number;
}

export function configure(command: Command, context: CommandContext): void {
  command
    .description(
      "Shows the WGSL that a GPU would be given for a model and a KV format: final, indented, with its comments. Without a name, " +
        "lists the kernels. The adapter is only described (--features): no GPU is needed, and no weights are read.",
    )
    .argument("[name]", "a kernel of the list, or a file for all kernels that come from it");
  addModelOption(
    command,
    "checkpoint: a directory, a .gguf file, a config.json, a name on the hub (org/name) or an embedded model",
  )
    .option("--shape <name>", `a public checkpoint by its shape instead of --model: ${shapeNames.join(", ")}`)
    .option("--kv <spec>", "KV format", DEFAULT_KV)
    .addOption(new Option("--weights <type>", "how weights are kept; auto: as stored").choices(WEIGHTS).default("auto"))
    .option("-c, --ctx <tokens>", "longest sequence (default: the model's)", wholeNumber(1))
    .addOption(
      new Option("--features <list>", `what the adapter offers, comma separated: ${FEATURES.join(", ")}; or none`)
        .argParser(parseFeatures)
        .default(["shader-f16", "subgroups"], "shader-f16,subgroups"),
    )
    .addOption(
      new Option("--subgroup-size <lanes>", "lanes of a subgroup: a power of two from 4 to 128")
        .argParser(parseSubgroupSize)
        .default(32),
    )
    .option("--json", "print one JSON object and nothing else on stdout")
    .option("--quiet", "no progress on stderr")
    .addHelpText(
      "after",
      `
Examples:
  $ turboquant print-kernel
  $ turboquant print-kernel attend-decode-3 --shape qwen3-0.6b --kv k4v4
  $ turboquant print-kernel attend-portable --kv k2v2 --features none
  $ turboquant print-kernel linear-rows --weights q4 --json`,
    )
    .action((name: string | undefined, flags: PrintKernelFlags) => run(name, flags, context));
}

function parseFeatures(text: string): readonly Feature[] {
  if (text.trim() === "none") return [];
  return text.split(",").map((part) => {
    const feature = FEATURES.find((known) => known === part.trim());
    if (feature) return feature;
    const near = closest(part.trim(), [...FEATURES, "none"]);
    throw new InvalidArgumentError(
      `Expected none or some of ${FEATURES.join(", ")}.${near ? ` Did you mean ${near}?` : ""}`,
    );
  });
}

function parseSubgroupSize(text: string): number {
  const lanes = wholeNumber(4, 128)(text);
  if (Number.isInteger(Math.log2(lanes))) return lanes;
  throw new InvalidArgumentError("Expected 4, 8, 16, 32, 64 or 128.");
}

async function run(name: string | undefined, flags: PrintKernelFlags, context: CommandContext): Promise<void> {
  const { io } = context;
  // Reports a mistyped spec before anything is downloaded.
  const asked = parseKvSpec(flags.kv);
  const features = describedFeatures(flags);
  const { model, ...request } = await readRequest(flags, asked, context);
  const kv = asked.forModel(layerKindsOf(layoutOf(request.config)));
  const kernels = await kernelTexts({ ...request, kv, features, weights: flags.weights });
  const selected = name === undefined ? kernels : kernelsNamed(name, kernels);
  if (flags.json) {
    const list = selected.map(({ code, ...kernel }) => ({
      ...kernel,
      lines: lineCount(code),
      ...(name !== undefined && { code }),
    }));
    const adapter = { features: flags.features, subgroupSize: features.subgroupSize };
    io.stdout.write(`${JSON.stringify({ model, kv: kv.text, weights: flags.weights, adapter, kernels: list })}\n`);
    return;
  }
  if (name === undefined) io.stdout.write(listText(kernels));
  else io.stdout.write(selected.map(({ label, code }) => `// ${label}\n${code}`).join("\n"));
}

function describedFeatures({ features, subgroupSize }: PrintKernelFlags): DescribedFeatures {
  const has = (feature: Feature): boolean => features.includes(feature);
  const matrices = has("chromium-experimental-subgroup-matrix");
  if (matrices && !(has("shader-f16") && has("subgroups"))) {
    throw new TurboQuantError(
      "invalid_argument",
      "--features: chromium-experimental-subgroup-matrix needs shader-f16 and subgroups; name all three",
    );
  }
  return { f16: has("shader-f16"), subgroupSize: has("subgroups") ? subgroupSize : 0, matrices };
}

type ReadRequest = Pick<KernelRequest, "config" | "calibration" | "storedType" | "contextLength"> & {
  readonly model: string;
};

/** Reads what the flags' model needs for its kernels: not the weights, but a calibration file beside them. */
async function readRequest(flags: PrintKernelFlags, kv: KvSpec, context: CommandContext): Promise<ReadRequest> {
  if (flags.shape !== undefined) {
    const config = shapeConfig(flags.shape);
    const contextLength = contextOf(flags.ctx, config.maxPositionEmbeddings);
    return { model: flags.shape, config, calibration: [], storedType: () => "bf16", contextLength };
  }
  return withMetadata(flags.model, flags, context, async (source) => {
    const checkpoint = await openCheckpoint(source);
    const config = parseModelConfig(await checkpoint.config(), checkpoint.configFile);
    kv.forModel(layerKindsOf(layoutOf(config)));
    const { storedType, storedTypeOf } = await readPlannedModel(source);
    return {
      model: checkpoint.modelName,
      config,
      calibration: await loadCalibration(source, kv.calibration, calibratedShape(config), checkpoint),
      storedType: (tensor) => storedTypeOf?.get(tensor) ?? storedType,
      contextLength: contextOf(flags.ctx, config.maxPositionEmbeddings),
    };
  });
}

function contextOf(asked: number | undefined, most: number): number {
  if (asked === undefined || asked <= most) return asked ?? most;
  throw new TurboQuantError("invalid_argument", `--ctx: expected at most ${most}, the model's context, got ${asked}`);
}

/**
 * The kernel of this name, or all kernels of this file.
 * @throws TurboQuantError invalid_argument — no such name; suggests the nearest one
 */
function kernelsNamed(name: string, kernels: readonly KernelText[]): readonly KernelText[] {
  const found = kernels.filter(
    (kernel) => kernel.name === name || kernel.file === name || kernel.file === `${name}.wgsl`,
  );
  if (found.length > 0) return found;
  const names = [...new Set(kernels.flatMap((kernel) => [kernel.name, kernel.file.replace(/\.wgsl$/, "")]))];
  const near = closest(name, names);
  throw new TurboQuantError(
    "invalid_argument",
    `print-kernel: these options lead to no kernel "${name}"; ${near ? `did you mean ${near}?` : `they lead to ${names.join(", ")}`}`,
    { name },
  );
}

const lineCount = (code: string): number => code.trimEnd().split("\n").length;

function listText(kernels: readonly KernelText[]): string {
  const rows = kernels.map(({ name, label, differs, code }) => [
    name,
    `${lineCount(code)}`,
    differs ? `${label} (${differs})` : label,
  ]);
  return plainTable([["kernel", "lines", "what it does"], ...rows], ["left", "right", "left"]);
}
