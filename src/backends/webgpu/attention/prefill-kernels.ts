/** @file The kernels that attend spans: on matrix units where the device has them, and in f32 everywhere. */
import { TurboQuantError } from "../../../errors.ts";
import { nameOf } from "../../../quant/codecs/registry.ts";
import type { AttentionLayer } from "../../ops.ts";
import { Struct } from "../../parameters/struct.ts";
import type { GpuContext } from "../device/context.ts";
import type { Commands } from "../queue/commands.ts";
import type { Kernel, KernelSpec } from "../queue/kernel.ts";
import { SLOT_MASK } from "../queue/page-storage.ts";
import { shader } from "../queue/shader-text.ts";
import { STEP_VALUES } from "../queue/step-records.ts";
import { type AttendOptions, sidesOf, tierValues } from "./attend-options.ts";
import { lines } from "./attend-text.ts";
import { headParts } from "./head-parts.ts";
import { isHalfSide, matricesText, matrixBytes } from "./matrices-text.ts";
import { MATRIX } from "./matrix-staging.ts";
import { MATRIX_ROWS, type PrefillRows } from "./prefill-plan.ts";
import {
  accumulatorsText,
  outputText,
  prefillReaders,
  scoresText,
  stagingText,
  sumShape,
  weightedSumText,
} from "./prefill-text.ts";
import { softcapText } from "./softcap-text.ts";

const params = new Struct({
  row: ["u32", "First row of the span in q and its position."],
  start: "u32",
  count: "u32",
  record: ["u32", "Word of the span's record in `step`."],
  splits: ["u32", "Parts that the keys are cut into."],
  sinks: ["u32", "Tokens of the sinks, of the residual window, and of a sliding window, 0 without one."],
  window: "u32",
  sliding: "u32",
  chunk: ["u32", "Positions of a chunk that a query attends within, 0 without chunks."],
  firstPart: ["u32", "The first part of this pass, and the parts of all passes."],
  allParts: "u32",
});
type Spec = KernelSpec<typeof params>;

export interface PrefillOptions extends AttendOptions {
  /** Workgroup memory to use; all that the adapter has by default. */
  readonly workgroupBytes?: number | undefined;
}

/** Longest head whose queries and sums fit the registers of a subgroup. */
const MOST_MATRIX_DIM = 128;

/** Whether a layer's spans can be attended on matrix units: f32 rows are for whoever wants no rounding. */
export function canUseMatrixRows(
  { features, limits }: GpuContext,
  {
    layer,
    cache: { main, residual },
    centroidsAt,
    windowCentroidsAt,
    tier = 0,
  }: Pick<AttendOptions, "cache" | "centroidsAt" | "windowCentroidsAt" | "tier"> & {
    readonly layer: Pick<AttentionLayer, "headDim" | "valueDim" | "rotaryKeyDim" | "softcap" | "kv">;
  },
): boolean {
  const { k, v } = sidesOf({ layer, tier });
  return (
    features.matrices &&
    features.subgroupSize === 32 &&
    layer.headDim % MATRIX === 0 &&
    layer.headDim <= MOST_MATRIX_DIM &&
    layer.valueDim === layer.headDim &&
    layer.rotaryKeyDim === 0 &&
    layer.softcap === 0 &&
    isHalfSide(k) &&
    isHalfSide(v) &&
    limits.maxComputeInvocationsPerWorkgroup >= MATRIX_ROWS &&
    limits.maxComputeWorkgroupStorageSize >=
      matrixBytes({ k, v, main, residual: residual?.layout ?? null, centroidsAt, windowCentroidsAt })
  );
}

/** The kernel for tiles of `rows`, made once for each format and shape. */
export function prefillKernel(commands: Commands, options: PrefillOptions, rows: PrefillRows): Kernel<typeof params> {
  const { layer, cache, centroidsAt, workgroupBytes } = options;
  const { headDim, valueDim, rotaryKeyDim, numHeads, numKvHeads, softcap } = layer;
  const { k, v } = sidesOf(options);
  const limit = workgroupBytes ?? commands.context.limits.maxComputeWorkgroupStorageSize;
  const key = `attend-prefill ${nameOf(k)} ${nameOf(v)} ${headDim} ${valueDim} ${rotaryKeyDim} ${numHeads}/${numKvHeads} ${softcap} ${cache.residual && nameOf(cache.residual.layout.k.side)} ${rows} ${centroidsAt.k} ${centroidsAt.v} ${limit} ${JSON.stringify(tierValues(options))}`;
  return commands.kernel(key, () => (rows === MATRIX_ROWS ? matrixSpec(options) : floatSpec(options, rows, limit)));
}

/** What both kernels are told. */
function valuesOf(options: AttendOptions) {
  const {
    layer,
    cache: { main, residual },
  } = options;
  const { headDim, valueDim, rotaryKeyDim, numHeads, numKvHeads } = layer;
  const { parts, heads } = headParts(layer);
  return {
    ...STEP_VALUES,
    HEAD_DIM: headDim,
    QUERY_DIM: headDim + rotaryKeyDim,
    HAS_ROTARY: rotaryKeyDim > 0,
    VALUE_DIM: valueDim,
    NUM_HEADS: numHeads,
    GROUP: heads,
    PARTS: parts,
    KV_GROUP: numHeads / numKvHeads,
    SLOT_MASK,
    PAGE_TOKENS: main.pageTokens,
    PAGE_BYTES: main.numBytes,
    HAS_RESIDUAL: residual !== null,
    HAS_COPIES: residual !== null || (options.tier ?? 0) > 0,
    ...tierValues(options),
    ...(residual && { RESIDUAL_TOKENS: residual.layout.pageTokens, RESIDUAL_BYTES: residual.layout.numBytes }),
  };
}

const BUFFERS = ["read", "read", "read", "read", "read", "read", "write", "write"] as const;

export function matrixSpec(options: AttendOptions): Spec {
  const { cache, centroidsAt, windowCentroidsAt } = options;
  const { k, v } = sidesOf(options);
  const residual = cache.residual?.layout ?? null;
  const { values, inserts } = matricesText({ k, v, main: cache.main, residual, centroidsAt, windowCentroidsAt });
  return {
    label: `attention of spans, K ${nameOf(k)}, V ${nameOf(v)}, matrix units`,
    shader: shader("attend-matrices", params, { ...valuesOf(options), ...values }, inserts),
    buffers: BUFFERS,
  };
}

function floatSpec(options: AttendOptions, rows: number, limit: number): Spec {
  const { layer, cache, centroidsAt, windowCentroidsAt } = options;
  const { headDim, valueDim, rotaryKeyDim, softcap } = layer;
  const { k, v } = sidesOf(options);
  const { main, residual } = cache;
  const readers = prefillReaders(k, v, main, residual?.layout ?? null, centroidsAt, windowCentroidsAt);
  const shape = sumShape(valueDim);
  const keys = keysOf(rows, Math.max(headDim + rotaryKeyDim, valueDim), readers.entries, limit);
  return {
    label: `attention of spans, K ${nameOf(k)}, V ${nameOf(v)}, tiles of ${rows} rows`,
    shader: shader(
      "attend-prefill",
      params,
      {
        ...valuesOf(options),
        ROWS: rows,
        KEYS: keys,
        LANES: shape.lanes,
        BAND: shape.band,
        TABLE: readers.entries,
        SOFTCAP: softcap > 0,
      },
      {
        READERS: softcap > 0 ? lines([readers.text, softcapText(softcap)]) : readers.text,
        TABLES: readers.tables,
        STAGING: stagingText(residual !== null, rotaryKeyDim > 0),
        SCORES: scoresText(keys),
        ACCUMULATORS: accumulatorsText(shape),
        WEIGHTED_SUM: weightedSumText(shape),
        OUTPUT: outputText(shape),
      },
    ),
    buffers: BUFFERS,
  };
}

/** Keys of a tile: as many as fit beside everything else. */
function keysOf(rows: number, headDim: number, entries: number, limit: number): number {
  for (const keys of [32, 16, 8, 4]) {
    const quads = keys * (headDim / 4 + 1 + rows / 4 + 1) + rows + rows / 4;
    if (quads * 16 + entries * 4 <= limit) return keys;
  }
  throw new TurboQuantError(
    "unsupported",
    `webgpu: attention of head_dim ${headDim} does not fit ${limit} bytes of workgroup memory; use --backend wasm`,
  );
}
