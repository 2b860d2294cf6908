/**
 * @file Checks whether a model and its cache fit the backend. The planner
 * is asked before any weights are read, and a refusal says what would fit.
 */
import type { Backend } from "../backends/backend.ts";
import type { Capabilities } from "../backends/capabilities.ts";
import type { BackendMemory, WeightType } from "../backends/ops.ts";
import { automaticBackends, backendOf } from "../backends/registry.ts";
import { TurboQuantError } from "../errors.ts";
import { binarySize, formatBytes, formatCount } from "../format-number.ts";
import type { Placement } from "../models/placement.ts";
import { PLANNED_FORMATS, type PlannedTogether, planTogether } from "../plan/memory-plan.ts";
import type { PlannedModel } from "../plan/model-memory.ts";
import { PAGE_TOKENS } from "../quant/page-layout.ts";
import { compactWeightTypes } from "../weights/registry.ts";

export interface FitOptions {
  readonly model: PlannedModel;
  /** A backend whose memory can be planned. */
  readonly backend: string;
  readonly capabilities: Pick<Capabilities, "hasWeights">;
  readonly memory: BackendMemory;
  readonly kv: string;
  /** Formats whose caches lie beside that one: each with a sequence as long. */
  readonly otherKv?: readonly string[];
  readonly weights: WeightType | "auto";
  /** Memory for weights, cache and everything else together; absent: all the backend has. */
  readonly memoryBytes?: number | undefined;
  /** Memory of the machine, for a backend that computes in it; absent: unknown. */
  readonly machineBytes?: number | undefined;
  readonly kvBudgetBytes?: number | undefined;
  /** The requested context in tokens; absent: as many as fit, at most the model's own. */
  readonly context?: number | undefined;
}

export interface Fit {
  readonly contextLength: number;
  /** A message when the context is shorter than the model's. */
  readonly note: string | null;
  /** Which memory each part of the model lies in. */
  readonly placement: Placement;
}

/** What one sequence of a given length needs, and why it does not fit, if it does not. */
interface Need {
  readonly totalBytes: number;
  readonly cacheBytes: number;
  /** The memory that is too small for it. */
  readonly short: Bound | null;
  readonly obstacle: string | null;
}

/** @throws TurboQuantError out_of_memory — the weights or the requested context do not fit; says what would */
export function checkFit(asking: FitOptions): Fit {
  const { model, kv, otherKv = [] } = asking;
  // A budget alone says nothing of the length of a sequence.
  const options = { ...asking, kvBudgetBytes: asking.context === undefined ? undefined : asking.kvBudgetBytes };
  const limit = model.maxPositionEmbeddings;
  const asked = options.context ?? limit;
  const together = [kv, ...otherKv];
  const needs = needsOf(options, together);
  const { short } = needs(Math.min(PAGE_TOKENS, asked));
  if (short) throw weightsDoNotFit(options, short);
  const wanted = needs(asked);
  if (wanted.obstacle === null) return { contextLength: asked, note: null, placement: placementOf(asking, asked) };
  const longest = longestContext(needs, asked);
  if (options.context === undefined && longest > 0) {
    return {
      contextLength: longest,
      note: `context: ${formatCount(longest)} of the model's ${formatCount(limit)} tokens, because ${wanted.obstacle}`,
      placement: placementOf(asking, longest),
    };
  }
  const isAlone = otherKv.length === 0;
  const others = PLANNED_FORMATS.filter((other) => isAlone && needsOf(options, [other])(asked).obstacle === null);
  const roomier = roomierBackend(options);
  const bounds = boundsOf(options);
  const ways = [
    longest > 0 && `--ctx ${longest} fits with --kv ${together.join(",")}`,
    !isAlone && "name fewer formats at once",
    others.length > 0 && `--kv ${others[0]} fits ${formatCount(asked)} tokens`,
    // The budget of a server is a default that its user may never have seen.
    wanted.cacheBytes > (options.kvBudgetBytes ?? Number.POSITIVE_INFINITY) &&
      `--kv-budget ${Math.ceil(wanted.cacheBytes / 1e6)}MB holds one such sequence`,
    roomier !== null && others.length === 0 && `--backend ${roomier.name} has no limit of ${roomier.limit}`,
  ].filter((way) => way !== false);
  throw new TurboQuantError(
    "out_of_memory",
    `context: ${formatCount(asked)} tokens of ${together.join(", ")} do not fit: ${wanted.obstacle}; ` +
      `${ways.join(", ") || "choose a shorter context or a smaller model"}`,
    {
      context: asked,
      cacheBytes: wanted.cacheBytes,
      totalBytes: wanted.totalBytes,
      availableBytes: Math.min(bounds.backend.bytes, bounds.outer.bytes),
      longest,
    },
  );
}

type Bound = Pick<BackendMemory, "what" | "bytes">;

/** What limits a model as a whole: what all memories of the backend hold, and what was given or, if that is less, the machine has. */
function boundsOf(options: FitOptions): { readonly backend: Bound; readonly outer: Bound } {
  const { what, bytes, count = 1 } = options.memory;
  const { memoryBytes = Number.POSITIVE_INFINITY, machineBytes = Number.POSITIVE_INFINITY } = options;
  const several = count > 1 ? ` (${count} of ${binarySize(bytes)})` : "";
  return {
    backend: { what: what + several, bytes: bytes * count },
    outer:
      memoryBytes <= machineBytes
        ? { what: "the memory given (--memory)", bytes: memoryBytes }
        : { what: "this machine's memory", bytes: machineBytes },
  };
}

/** The memory that is too small. What the process keeps besides is not part of the backend's. */
function shortOf(options: FitOptions, { totalBytes, hostBytes, placement }: PlannedTogether): Need["short"] {
  const { backend, outer } = boundsOf(options);
  const isOuterShort = totalBytes > outer.bytes;
  if (isOuterShort && outer.bytes < backend.bytes) return outer;
  if (placement) return isOuterShort ? outer : null;
  if (totalBytes - hostBytes > backend.bytes) return backend;
  const { what, bytes } = options.memory;
  return { what: `one memory of ${what}, which has to hold a layer or the embedding as a whole`, bytes };
}

/** When the backend's own limit is the obstacle: that limit, and a backend that addresses more. */
function roomierBackend(options: FitOptions) {
  const limitOf = ({ planner }: Backend): number =>
    planner ? planner.limits.memoryBytes * (planner.limits.memories ?? 1) : 0;
  const limit = limitOf(backendOf(options.backend));
  const other = automaticBackends().find((each) => limitOf(each) > limit);
  const { backend, outer } = boundsOf(options);
  return other && backend.bytes < outer.bytes ? { name: other.name, limit: binarySize(limit) } : null;
}

/** Where the parts of a model go that fits: with room for all pages of the budget, if there is that much. */
function placementOf(
  { model, kv, otherKv = [], weights, backend, memory, kvBudgetBytes }: FitOptions,
  context: number,
) {
  const memories = { bytes: memory.bytes, count: memory.count ?? 1 };
  const plan = planTogether(model, { kv: [kv, ...otherKv], weights, backend, memories });
  return plan.at(context, kvBudgetBytes).placement ?? plan.at(context).placement!;
}

/** What sequences of a length need, one in each of the formats. */
function needsOf(options: FitOptions, formats: readonly string[]): (context: number) => Need {
  const { model, backend, memory, weights, kvBudgetBytes = Number.POSITIVE_INFINITY } = options;
  const memories = { bytes: memory.bytes, count: memory.count ?? 1 };
  const plan = planTogether(model, { kv: formats, weights, backend, memories });
  return (context) => {
    const need = plan.at(context);
    const { totalBytes, cacheBytes, largestCacheBytes, largestBinding } = need;
    const short = shortOf(options, need);
    const cache = (bytes: number): string => `${formatBytes(bytes)} for the cache`;
    const obstacle = short
      ? `${cache(cacheBytes)}, ${formatBytes(plan.weights.bytes)} for the weights and ${formatBytes(totalBytes - cacheBytes - plan.weights.bytes)} for the work are more than the ${formatBytes(short.bytes)} of ${short.what}`
      : largestBinding > memory.bindingBytes
        ? `the pages of one layer take ${formatBytes(largestBinding)} and the device binds at most ${formatBytes(memory.bindingBytes)}`
        : largestCacheBytes > kvBudgetBytes
          ? `${cache(largestCacheBytes)} are more than the budget of ${formatBytes(kvBudgetBytes)}`
          : null;
    return { totalBytes, cacheBytes: largestCacheBytes, short, obstacle };
  };
}

/** In whole pages, at most `limit`; 0 when not even one page fits. */
function longestContext(needs: (context: number) => Need, limit: number): number {
  let [low, high] = [0, Math.ceil(limit / PAGE_TOKENS)];
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (needs(middle * PAGE_TOKENS).obstacle === null) low = middle;
    else high = middle;
  }
  return low * PAGE_TOKENS;
}

function weightsDoNotFit(options: FitOptions, short: NonNullable<Need["short"]>): TurboQuantError {
  const { model, backend, capabilities, kv, otherKv = [] } = options;
  const bytesAs = (weights: WeightType | "auto"): number =>
    planTogether(model, { kv: [kv], weights, backend }).weights.bytes;
  const bytes = bytesAs(options.weights);
  const smaller = compactWeightTypes()
    .filter((type) => capabilities.hasWeights(type))
    .map((type) => ({ type, bytes: bytesAs(type) }))
    .filter((w) => w.bytes < bytes);
  const fitting = smaller.find(
    ({ type }) => needsOf({ ...options, weights: type }, [kv, ...otherKv])(PAGE_TOKENS).short === null,
  );
  const roomier = roomierBackend(options);
  const next = fitting
    ? `--weights ${fitting.type} takes ${formatBytes(fitting.bytes)}`
    : [
        ...smaller.map((w) => `--weights ${w.type} would take ${formatBytes(w.bytes)}`),
        roomier
          ? `try --backend ${roomier.name}, which has no limit of ${roomier.limit}, or a smaller model`
          : "give it more memory or choose a smaller model",
      ].join(", ");
  return new TurboQuantError(
    "out_of_memory",
    `model: the weights of ${model.name} need ${formatBytes(bytes)} and what goes with them, more than the ${formatBytes(short.bytes)} of ${short.what}; ${next}`,
    { weightBytes: bytes, availableBytes: short.bytes },
  );
}
