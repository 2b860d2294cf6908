/** @file Bytes of a model's KV cache in one format: as the engine counts them, and as the backend's memory holds them. */
import type { BackendPlanner } from "../backends/planner.ts";
import { type LayerCache, layerCache } from "../cache/layer-cache.ts";
import { bytesOf, pagesAtRest, pagesHeld } from "../cache/page-counts.ts";
import { isPressed } from "../cache/states/tiers.ts";
import type { RotationKind } from "../quant/kv-format.ts";
import { PAGE_TOKENS, type PageLayout, valuesOfToken } from "../quant/page-layout.ts";
import type { KvSpec } from "../quant/parse-kv-spec.ts";
import { feedbackBytes, hostBytes, preparedBytes } from "../quant/prepared-layer.ts";
import { fixedStateBytes, type PlannedModel, plannedKinds } from "./model-memory.ts";

export interface HeldMemory {
  /** Bytes that the backend's page storage holds: with page alignment, room to grow, and pages that a prefill has released. */
  readonly bytes: number;
  /** The most bytes that a kernel binds as one buffer: the pages of one stream of one layer. */
  readonly largestBinding: number;
  /** The bytes by layer of the model. */
  readonly layers: readonly number[];
}

/** Of the codes of each tier, the finest first. */
const codedLayouts = ({ main, tiers }: LayerCache): PageLayout[] => [main, ...tiers.map(({ layout }) => layout)];

/** The cache of one model in one format, at any length. Lengths are the tokens of one sequence. */
export class CacheMemory {
  readonly #layers: readonly LayerCache[];
  /** Number of all layers of the model, and the index among them of each that has keys and values. */
  readonly #numLayers: number;
  readonly #modelLayers: readonly number[];
  readonly #kv: KvSpec;
  readonly #isCalibrated: boolean | undefined;
  /** Bytes of one sequence that do not depend on its length. */
  readonly #fixedBytes: number;

  /** @throws TurboQuantError unsupported — a head_dim without a kernel; invalid_argument — layers= of layers that the model does not have */
  constructor(model: PlannedModel, kv: KvSpec) {
    this.#numLayers = model.numLayers ?? model.layers.length;
    this.#modelLayers = model.layers.map(({ modelLayer }, index) => modelLayer ?? index);
    this.#kv = kv.forModel(plannedKinds(model));
    this.#isCalibrated = model.isCalibrated;
    this.#fixedBytes = fixedStateBytes(model);
    this.#layers = model.layers.map((shape, index) =>
      layerCache(this.#kv.forLayer(this.#modelLayers[index]!, shape.isIndex), shape),
    );
  }

  /** Bytes that a backend keeps for the calibration that the format asks for, if the model may have one. */
  get calibrationBytes(): number {
    return this.calibrationByLayer().reduce((sum, bytes) => sum + bytes, 0);
  }

  /** The same by layer of the model. */
  calibrationByLayer(): number[] {
    const layers = Array.from({ length: this.#numLayers }, () => 0);
    if (!this.#mayBeCalibrated) return layers;
    for (const [i, { format, main }] of this.#layers.entries()) {
      // Latent attention has no calibration.
      if (!main.rotaryKey) layers[this.#modelLayers[i]!]! += preparedBytes(format, main);
    }
    return layers;
  }

  /** The part of it that pages are coded anew with for coarser tiers. */
  get recodingBytes(): number {
    if (!this.#mayBeCalibrated) return 0;
    const tiered = this.#layers.filter(({ tiers }) => tiers.length > 0);
    return tiered.reduce((sum, { format, main }) => sum + feedbackBytes(format, main), 0);
  }

  /** Coarser tiers of all layers, and of the layer that has the most. */
  get tiers(): { readonly all: number; readonly most: number } {
    const counts = this.#layers.map(({ tiers }) => tiers.length);
    return { all: counts.reduce((sum, count) => sum + count, 0), most: Math.max(0, ...counts) };
  }

  /** The most tokens in sinks and residual window together. */
  get windowTokens(): number {
    return Math.max(0, ...this.#layers.map(({ residual, format }) => (residual ? format.sinks + format.window : 0)));
  }

  /** What the process keeps of it besides. */
  get hostBytes(): number {
    if (!this.#mayBeCalibrated) return 0;
    // The layers' rotation as a matrix of doubles, of which their maps are made.
    const calibrated = this.#layers.filter(({ main }) => !main.rotaryKey);
    const rotation = 8 * Math.max(0, ...calibrated.map(({ main }) => Math.max(main.headDim, main.valueDim) ** 2));
    return calibrated.reduce((sum, { format, main }) => sum + hostBytes(format, main), rotation);
  }

  get #mayBeCalibrated(): boolean {
    const { calibration } = this.#kv;
    return calibration !== "off" && !(calibration === "auto" && this.#isCalibrated === false);
  }

  get rotation(): RotationKind {
    return this.#kv.forLayer(0).rotation;
  }

  /** Page bytes of one sequence between steps, equal to the engine's `numBytes`. */
  bytes(tokens: number): number {
    return this.#layers.reduce((sum, layer) => sum + bytesOf(layer, pagesAtRest(layer, tokens)), this.#fixedBytes);
  }

  /** Allocated bits for each number of K and V, 0 without any; layers with a sliding window count only the tokens they keep. */
  bitsPerValue(tokens: number): number {
    const shares = this.#layers.map(
      ({ main, reach, tokensPerRow }) =>
        valuesOfToken(main) * Math.floor((tokens - reach.firstKey(tokens - 1)) / tokensPerRow),
    );
    const values = shares.reduce((sum, share) => sum + share, 0);
    return values === 0 ? 0 : (8 * (this.bytes(tokens) - this.#fixedBytes)) / values;
  }

  /** Bytes that one more token takes in a long sequence. */
  get bytesPerToken(): number {
    return this.#layers.reduce(
      (sum, { main, tiers, reach, tokensPerRow }) =>
        sum + (reach.slidingWindow > 0 ? 0 : (tiers.at(-1)?.layout ?? main).numBytes / PAGE_TOKENS / tokensPerRow),
      0,
    );
  }

  /**
   * For each tier that yields to memory, the finest first: pages of every layer that fill a budget. Others take their place one tier after the
   * other, and a storage may keep the room of each.
   */
  #yieldingPages(budgetBytes: number): number[] {
    const most = Math.max(0, ...this.#layers.map(({ tiers }) => tiers.length));
    return Array.from({ length: most }, (_, tier) => {
      const layers = this.#layers.filter(({ tiers }) => tiers[tier] && isPressed(tiers[tier]));
      const bytes = layers.reduce((sum, layer) => sum + codedLayouts(layer)[tier]!.numBytes, 0);
      return bytes === 0 ? 0 : Math.ceil(budgetBytes / bytes);
    });
  }

  /**
   * Bytes that the backend's storage holds when `sequences` sequences of `tokens` tokens each were prefilled one after the other and decode.
   * budgetBytes: what pages may take together, where that is more than these sequences need
   */
  held(tokens: number, sequences: number, chunkTokens: number, planner: BackendPlanner, budgetBytes = 0): HeldMemory {
    const yielding = planner.keepsRoom
      ? this.#yieldingPages(Math.max(budgetBytes, sequences * this.bytes(tokens)))
      : [];
    // During a step over a prompt a state exists three times: before the step, at its last page end, and after it. Sequences that
    // decode together have theirs before the first step in flight and after each.
    const fixedBytes = this.#fixedBytes * Math.max(sequences + 2, (1 + planner.stepsInFlight) * sequences);
    let bytes = fixedBytes;
    let largestBinding = 0;
    const layers = Array.from({ length: this.#numLayers }, () => fixedBytes / this.#numLayers);
    for (const [i, layer] of this.#layers.entries()) {
      const [rest, most] = [pagesAtRest(layer, tokens), pagesHeld(layer, tokens, chunkTokens)];
      const whole = { ...layer, tiers: [] };
      const all = pagesAtRest(whole, tokens).main * (sequences - 1) + pagesHeld(whole, tokens, chunkTokens).main;
      const before = (tier: number): number =>
        layer.tiers[tier] && isPressed(layer.tiers[tier]) ? Math.min(all, yielding[tier] ?? 0) : 0;
      const streams: readonly (readonly [PageLayout | undefined, rest: number, most: number, before: number])[] = [
        [layer.main, rest.main, most.main, before(0)],
        [layer.residual?.layout, rest.residual, most.residual, 0],
        ...layer.tiers.map(
          ({ layout }, tier) => [layout, rest.tiers[tier]!, most.tiers[tier]!, before(tier + 1)] as const,
        ),
      ];
      for (const [layout, atRest, expected, yielded] of streams) {
        const count = atRest * (sequences - 1) + expected;
        if (!layout || count + yielded === 0) continue;
        const stream = planner.heldPages(count, layout.numBytes, expected);
        const held = yielded > count ? planner.heldPages(yielded, layout.numBytes, expected) : stream;
        bytes += held.bytes;
        layers[this.#modelLayers[i]!]! += held.bytes;
        // A buffer of pages that yield grows no further than a kernel binds.
        largestBinding = Math.max(largestBinding, stream.bindingBytes);
      }
    }
    return { bytes, largestBinding, layers };
  }
}
