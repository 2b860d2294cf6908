/**
 * @file `turboquant plan`: tells whether a model fits into memory, with
 * which cache format, and for how long a context. It loads no weights.
 */
import { type Command, Option } from "commander";
import type { WeightType } from "../../backends/ops.ts";
import { plannedBackends } from "../../backends/registry.ts";
import { hasGpu } from "../../engine/create-backend.ts";
import { shapeConfig } from "../../models/shapes.ts";
import { machineMemory } from "../../node/machine-memory.ts";
import { type MemoryPlan, type PlanOptions, planMemory } from "../../plan/memory-plan.ts";
import { fixedStateBytes, type PlannedModel } from "../../plan/model-memory.ts";
import { planNotes } from "../../plan/notes.ts";
import { modelOfConfig } from "../../plan/planned-model.ts";
import { readPlannedModel } from "../../plan/read-model.ts";
import { parseKvSpec } from "../../quant/parse-kv-spec.ts";
import type { CommandContext } from "../context.ts";
import { tableWidth } from "../format.ts";
import {
  addModelOption,
  collectKv,
  memorySize,
  type OutputFlags,
  WEIGHTS,
  wholeNumber,
  wholeNumbers,
} from "../options.ts";
import { planText } from "../plan-output.ts";
import { withMetadata } from "../with-metadata.ts";

/** The answer is no. */
const EXIT_NO = 3;

interface PlanFlags extends OutputFlags {
  readonly model: string;
  readonly shape?: string;
  readonly memory?: number;
  readonly reserve?: number;
  readonly context?: number;
  readonly ctx?: number;
  readonly contexts?: readonly number[];
  readonly sequences: number;
  readonly kv?: readonly string[];
  readonly weights: WeightType | "auto";
  readonly backend: string;
}

export function configure(command: Command, context: CommandContext): void {
  command
    .description(
      "Says from a model's config and headers alone whether weights, KV cache and activations fit a memory, how long a context " +
        "and how many sequences fit, and which cache format has most bits that does. Bytes are those that the engine allocates. The exit code is 3 when nothing fits.",
    )
    .argument("[ref]", "the same as --model");
  addModelOption(
    command,
    "checkpoint: a directory, a .gguf file, one of a directory (DIR:Q4_K_M), a config.json, a name on the hub (org/name:Q4_K_M; no weights are fetched) or an embedded model",
  )
    .option("--shape <name>", "a public checkpoint by its shape, such as qwen3-32b, instead of --model")
    .option(
      "--memory <size>",
      "memory for everything, such as 24GB (default: this machine's, or what a container has of it)",
      memorySize,
    )
    .option("--reserve <size>", "of it, for the system and the runtime (default: 5 %)", memorySize)
    .option("-c, --context <tokens>", "tokens of a sequence (default: max_position_embeddings)", wholeNumber(1))
    .addOption(new Option("--ctx <tokens>").argParser(wholeNumber(1)).hideHelp())
    .option(
      "--contexts <list>",
      "lengths of the second table (default: 128K to 1M, or parts of a shorter context)",
      wholeNumbers(1),
    )
    .option("--sequences <n>", "sequences at once, each of that length", wholeNumber(1), 1)
    .option("--kv <spec>", "cache format; may be repeated (default: a ladder from f16 to k2v2)", collectKv)
    .addOption(new Option("--weights <type>", "how weights are kept; auto: as stored").choices(WEIGHTS).default("auto"))
    .addOption(
      new Option(
        "--backend <name>",
        "whose layouts count; auto: wasm where one memory of 4 GiB is enough or there is no GPU, else webgpu",
      )
        .choices(["auto", ...plannedBackends().map(({ name }) => name)])
        .default("auto"),
    )
    .option("--json", "print one JSON object and nothing else on stdout")
    .option("--quiet", "no progress on stderr")
    .addHelpText(
      "after",
      `
Examples:
  $ turboquant plan
  $ turboquant plan --model Qwen/Qwen3-8B --memory 24GB --context 131072
  $ turboquant plan --shape qwen3-32b --memory 128GB --contexts 131072,262144,524288,1048576
  $ turboquant plan ./config.json --memory 16GB --weights q8 --kv f16,k4v4 --sequences 8 --json`,
    )
    .action((ref: string | undefined, flags: PlanFlags) => run(ref ?? flags.model, flags, context));
}

async function run(ref: string, flags: PlanFlags, context: CommandContext): Promise<void> {
  const { io } = context;
  // Reports a mistyped spec before anything is downloaded.
  for (const spec of flags.kv ?? []) parseKvSpec(spec);
  const model = await readModel(ref, flags, context);
  // Memory that was named may be another machine's.
  const isHere = flags.memory === undefined && flags.backend === "auto";
  const plan = planMemory(model, { ...planOptionsOf(model, flags), ...(isHere && { hasGpu: await hasGpu() }) });
  io.stdout.write(flags.json ? `${JSON.stringify(planJson(plan))}\n` : planText(plan, tableWidth(io.stdout)));
  if (plan.best === null) context.setExitCode(EXIT_NO);
}

async function readModel(ref: string, flags: PlanFlags, context: CommandContext): Promise<PlannedModel> {
  if (flags.shape !== undefined) return modelOfConfig(shapeConfig(flags.shape), flags.shape);
  return withMetadata(ref, flags, context, readPlannedModel);
}

/** 128K, 256K, 512K and 1M tokens; for a model meant for less than 32K, its limit and a half, a quarter and an eighth of it. */
function defaultContexts({ maxPositionEmbeddings: limit }: PlannedModel): number[] {
  const longest = limit < 32_768 ? limit : 2 ** 20;
  return [8, 4, 2, 1].map((part) => Math.max(1, Math.floor(longest / part)));
}

function planOptionsOf(model: PlannedModel, flags: PlanFlags): PlanOptions {
  const context = flags.context ?? flags.ctx;
  return {
    memoryBytes: flags.memory ?? machineMemory(),
    sequences: flags.sequences,
    weights: flags.weights,
    backend: flags.backend,
    contexts: flags.contexts ?? defaultContexts(model),
    ...(flags.reserve !== undefined && { reserveBytes: flags.reserve }),
    ...(context !== undefined && { context }),
    ...(flags.kv !== undefined && { kv: flags.kv }),
  };
}

function planJson(plan: MemoryPlan): object {
  const { model, weights, weightsAsked: _, best, ...rest } = plan;
  return {
    model: {
      name: model.name,
      modelType: model.modelType,
      // Scripts ask for it from when models were planned that do not run here.
      runs: true,
      layers: model.numLayers ?? model.layers.length,
      kvLayers: model.layers.length,
      stateBytes: fixedStateBytes(model),
      numKvHeads: model.layers[0]?.numKvHeads ?? 0,
      headDim: model.layers[0]?.headDim ?? 0,
      slidingWindowLayers: model.layers.filter(({ slidingWindow }) => slidingWindow > 0).length,
      maxPositionEmbeddings: model.maxPositionEmbeddings,
      parameters: weights.parameters,
    },
    weights: { type: weights.type, bytes: weights.bytes, loadingBytes: weights.loadingBytes },
    ...rest,
    fits: best !== null,
    best: best?.kv ?? null,
    notes: planNotes(plan),
  };
}
