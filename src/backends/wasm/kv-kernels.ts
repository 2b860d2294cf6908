/** @file `appendKv` and `attend` of the WASM backend: writes parameters, tables and spans, and runs the kernels. */

import type { SideLayout } from "../../quant/page-layout.ts";
import { dimOf } from "../../quant/page-regions.ts";
import { agedPages, type PageMove } from "../aged-pages.ts";
import { DECODE_TOKENS } from "../decode-tokens.ts";
import { storeFullPages } from "../full-pages.ts";
import { type HeadTurn, turnRow } from "../head-turn.ts";
import type { AttentionLayer, Rope, Span, Step, TokenBlocks, TokenRuns } from "../ops.ts";
import {
  append,
  appendSide,
  attend,
  type attendSide,
  MAX_ROWS,
  ROTATIONS,
  SCALE_RULES,
  span as spanRecord,
  tierPages,
} from "../parameters/attention.ts";
import type { ValuesOf } from "../parameters/struct.ts";
import { numRowsOf, rowSpans } from "../row-spans.ts";
import { ALL_CHOSEN, type ChosenAt, type ChosenBits, longestOf, scoredTogether, TokenChoice } from "./chosen-tokens.ts";
import { wasmCodecs } from "./codecs/registry.ts";
import { alignUp } from "./heap.ts";
import { appendTasks, LARGEST_IN_BLOCK, offsetOf, PARAM_BYTES, planeOffset } from "./kv-params.ts";
import { KvSlots } from "./kv-slots.ts";
import { KvTables } from "./kv-tables.ts";
import type { WasmMemory } from "./memory.ts";
import { type Angles, RopeAngles } from "./rope-angles.ts";
import { ScratchBuffer } from "./scratch-buffer.ts";
import { SPLIT_TOKENS } from "./sizes.ts";
import type { ThreadPool } from "./thread-pool.ts";
import { asWasmWeight } from "./wasm-weight.ts";

/** Attention over fewer keys (times KV heads) takes less time than waking another thread. */
const PARALLEL_KEYS = 256;

/** Addresses of the norms of heads, 0 for those that the model does not have. */
interface HeadNorms {
  readonly q: number;
  readonly k: number;
  readonly v: number;
}

const NO_NORMS: HeadNorms = { q: 0, k: 0, v: 0 };

/** What kernels are told of the rotary key parts of latent attention. */
function rotaryFields({ cache: { main, residual } }: AttentionLayer) {
  const { rotaryKey } = main;
  return {
    rotaryDim: rotaryKey?.dim ?? 0,
    rotaryType: rotaryKey ? wasmCodecs.of(rotaryKey.side).typeCode(rotaryKey.side) : 0,
    rotaryPlane: offsetOf(rotaryKey?.planes[0]),
    residualRotary: offsetOf(residual?.layout.rotaryKey?.planes[0]),
  };
}

export class KvKernels {
  readonly #memory: WasmMemory;
  readonly #pool: ThreadPool;
  readonly #tables: KvTables;
  readonly #params: number;
  readonly #slots: KvSlots;
  readonly #angles: RopeAngles;
  readonly #spans: ScratchBuffer;
  readonly #partials: ScratchBuffer;
  readonly #scores: ScratchBuffer;
  readonly #ones: ScratchBuffer;
  readonly #choice: TokenChoice;

  constructor(memory: WasmMemory, pool: ThreadPool) {
    this.#memory = memory;
    this.#pool = pool;
    this.#tables = new KvTables(memory);
    this.#params = memory.allocateZeroed(PARAM_BYTES, "kernel parameters");
    this.#slots = new KvSlots(memory);
    this.#angles = new RopeAngles(memory);
    this.#spans = new ScratchBuffer(memory);
    this.#partials = new ScratchBuffer(memory);
    this.#choice = new TokenChoice(memory);
    this.#scores = new ScratchBuffer(memory);
    this.#ones = new ScratchBuffer(memory);
  }

  /** See `RopeAngles.write`. */
  beginStep(step: Step, ropes: readonly Rope[]): void {
    this.#angles.write(step, ropes);
  }

  /** qkv, q, norms: addresses of f32 arrays as in `Ops.appendKv` (0 for a norm that the model does not have) */
  append(step: Step, layer: AttentionLayer, qkv: number, q: number, norms: HeadNorms): void {
    const rows = step.tokens.length;
    const passed = this.#writeAppend(step.spans, rows, layer, qkv, q, norms, this.#angles.of(layer));
    const parallel = Math.max(rows, passed) * layer.numKvHeads >= 4;
    const tasks = appendTasks(rows, layer.numKvHeads) + appendTasks(passed, layer.numKvHeads);
    this.#pool.run("appendRows", this.#params, tasks, parallel);
    if (layer.isShared) return;
    for (let tier = 0; tier < layer.cache.tiers.length; tier++) this.coarsen(layer, tier, agedPages(step, layer, tier));
    storeFullPages(step, layer, (address, numBytes) => this.#memory.u8.subarray(address, address + numBytes));
  }

  /** See `Ops.coarsen`. */
  coarsen(layer: AttentionLayer, tier: number, moves: readonly PageMove[]): void {
    if (moves.length === 0) return;
    const { pageTokens } = layer.cache.main;
    const { address, passed } = this.#slots.writePages(moves, pageTokens);
    const sides = this.#tables.of(layer.kv).tiers.append;
    const [from, to] = [sides[tier]!, sides[tier + 1]!];
    const { view, u8 } = this.#memory;
    const put = (
      name: "slots" | "pageTokens" | "residualTokens" | "numRows" | "numPassed" | "kWindow" | "vWindow",
      value: number,
    ) => view.setUint32(this.#params + append.offsets[name], value, true);
    put("slots", address);
    put("pageTokens", pageTokens);
    put("residualTokens", pageTokens);
    put("numRows", 0);
    put("numPassed", passed);
    put("kWindow", from.k);
    put("vWindow", from.v);
    u8.copyWithin(this.#params + append.offsets.kSide, to.k, to.k + appendSide.numBytes);
    u8.copyWithin(this.#params + append.offsets.vSide, to.v, to.v + appendSide.numBytes);
    this.#pool.run("appendRows", this.#params, appendTasks(passed, layer.numKvHeads));
  }

  /** returns: rows of earlier steps that are coded in this one */
  #writeAppend(
    spans: readonly Span[],
    rows: number,
    layer: AttentionLayer,
    qkv: number,
    q: number,
    norms: HeadNorms,
    angles: Angles,
  ): number {
    const tables = this.#tables.of(layer.kv);
    const { main, residual } = layer.cache;
    const slots = this.#slots.write(spans, rows, layer);
    append.write(this.#memory.view, this.#params, {
      numHeads: layer.numHeads,
      numKvHeads: layer.numKvHeads,
      qkv,
      query: q,
      qNorm: norms.q,
      kNorm: norms.k,
      vNorm: norms.v,
      normsTurned: layer.normsTurned ? 1 : 0,
      isShared: layer.isShared ? 1 : 0,
      eps: layer.normEps,
      cos: angles.cos,
      sin: angles.sin,
      queryGrowth: angles.growth,
      mean: tables.mean,
      balance: tables.balance,
      softmaxScale: layer.scale,
      slots: slots.address,
      pageTokens: main.pageTokens,
      residualTokens: residual?.layout.pageTokens ?? 0,
      residualK: offsetOf(residual?.layout.k.planes[0]),
      residualV: offsetOf(residual?.layout.v.planes[0]),
      numRows: rows,
      ...rotaryFields(layer),
      kWindow: tables.k.windowAppend,
      vWindow: tables.v.windowAppend,
      isAlone: residual?.isAlone ? 1 : 0,
      numPassed: slots.passed,
      kSide: this.#appendSide(layer, "k", main.k),
      vSide: this.#appendSide(layer, "v", main.v),
    });
    return slots.passed;
  }

  /** latent, q: addresses of f32 arrays as in `Ops.appendLatent` */
  appendLatent(step: Step, layer: AttentionLayer, latent: number, q: number): void {
    const rows = step.tokens.length;
    const { tokensPerRow = 1 } = layer;
    const areTokens = tokensPerRow === 1;
    if (!areTokens) this.#appendStored(step, layer, tokensPerRow, latent);
    // Queries alone have no slots.
    const [spans, stored] = areTokens ? [step.spans, rows] : [[], 0];
    this.#writeAppend(spans, stored, layer, latent, q, NO_NORMS, this.#angles.of(layer));
    if (areTokens) this.#pool.run("appendLatentRows", this.#params, appendTasks(rows, 1), rows > 4);
    this.#pool.run("prepareLatentQueries", this.#params, rows, rows * layer.numHeads >= 16);
  }

  /** Stores the rows that stand for several tokens each and end in the step. */
  #appendStored(step: Step, layer: AttentionLayer, tokensPerRow: number, latent: number): void {
    const stored = rowSpans(step.spans, tokensPerRow);
    const rows = numRowsOf(step, tokensPerRow);
    if (rows === 0) return;
    const angles = this.#angles.ofStored(layer, step.spans, stored, rows);
    this.#writeAppend(stored, rows, layer, latent, 0, NO_NORMS, angles);
    this.#pool.run("appendLatentRows", this.#params, appendTasks(rows, 1), rows > 4);
  }

  /** x: address as in `Ops.turnHeads` · rows: of x */
  turnHeads(step: Step, x: number, turn: HeadTurn, rows: number): void {
    if (rows === 0) return;
    const { numHeads, headDim, tokensPerRow = 1 } = turn;
    const { cos, sin, numPairs } = this.#angles.ofTurn(turn, step.spans, rowSpans(step.spans, tokensPerRow), rows);
    const { f32 } = this.#memory;
    const [cosines, sines] = [cos, sin].map((at) => f32.subarray(at / 4, at / 4 + rows * numPairs));
    for (let row = 0; row < rows; row++)
      turnRow(f32, x / 4 + row * numHeads * headDim, turn, cosines!, sines!, row * numPairs, numPairs);
  }

  /** chosen: as in `Ops.attend`, with the address of the positions · logSums: an address, or 0 */
  attend(step: Step, layer: AttentionLayer, q: number, out: number, chosen: ChosenAt | null, logSums: number): void {
    const short = step.spans.filter((span) => span.count <= DECODE_TOKENS);
    const long = step.spans.filter((span) => span.count > DECODE_TOKENS);
    const bits = { ...(chosen ? this.#choice.bitsOf(step, chosen) : ALL_CHOSEN), logSums };
    if (short.length > 0) this.#decode(step, layer, short, q, out, bits);
    // After the merge above, which also writes meaningless rows for the long spans.
    if (long.length > 0) this.#prefill(layer, long, q, out, bits);
  }

  /** q: address of an f32 array as in `Ops.chooseTokens`, and by that of the weights */
  chooseTokens(
    step: Step,
    layer: AttentionLayer,
    q: number,
    by: number | TokenBlocks | TokenRuns,
    { positions, count, lists }: ChosenAt,
  ): void {
    const weights = this.#headWeights(step, layer, by);
    const { tokensPerRow = 1 } = layer;
    for (const spans of scoredTogether(step.spans, lists)) {
      const [stride, firstRow] = [Math.max(1, Math.floor(longestOf(spans) / tokensPerRow)), spans[0]!.row];
      const rows = spans.reduce((sum, span) => sum + span.count, 0);
      const scores = this.#scores.ensure(rows * lists * stride * 4);
      const perBlock = Math.max(1, Math.floor(MAX_ROWS / layer.numHeads));
      const numSplits = Math.ceil(stride / SPLIT_TOKENS);
      const width = layer.headDim + layer.rotaryKeyDim;
      const own = spans.map((span) => ({ ...span, row: span.row - firstRow }));
      const queries = q + firstRow * layer.numHeads * width * 4;
      this.#writeAttend(layer, own, queries, 0, 0, numSplits, perBlock, {
        ...ALL_CHOSEN,
        ...{ scores, scoreStride: stride },
        headWeights: weights === 0 ? 0 : weights + firstRow * layer.numHeads * 4,
      });
      const blocks = own.reduce((sum, span) => sum + Math.ceil(span.count / perBlock), 0);
      this.#pool.run("scoreTokens", this.#params, blocks * numSplits, rows * stride >= PARALLEL_KEYS);
      this.#choice.choose(own, { scores, stride, tokensPerRow }, by, {
        positions: positions + firstRow * lists * count * 4,
        count,
        lists,
      });
    }
  }

  /** The address of weights of an indexer's heads: ones where sums have none; 0 where heads are not added up. */
  #headWeights(step: Step, { numHeads }: AttentionLayer, by: number | TokenBlocks | TokenRuns): number {
    if (typeof by === "number") return by;
    if ("local" in by) return 0;
    const length = step.tokens.length * numHeads;
    const address = this.#ones.ensure(4 * length);
    this.#memory.f32.fill(1, address / 4, address / 4 + length);
    return address;
  }

  #decode(step: Step, layer: AttentionLayer, spans: readonly Span[], q: number, out: number, bits: ChosenBits): void {
    const rows = spans.reduce((sum, span) => sum + span.count, 0);
    const longest = Math.max(1, Math.floor(longestOf(spans) / (layer.tokensPerRow ?? 1)));
    const splits = Math.ceil(longest / SPLIT_TOKENS);
    const stride = (alignUp(layer.valueDim, 32) + 2) * 4;
    const partials = this.#partials.ensure(step.tokens.length * layer.numHeads * splits * stride);
    this.#writeAttend(layer, spans, q, out, partials, splits, 1, bits);
    const parallel = rows * longest * layer.numKvHeads >= PARALLEL_KEYS;
    this.#pool.run("attendDecode", this.#params, rows * layer.numKvHeads * splits, parallel);
    this.#pool.run("attendMerge", this.#params, step.tokens.length * layer.numHeads, splits > 4);
  }

  #prefill(layer: AttentionLayer, spans: readonly Span[], q: number, out: number, bits: ChosenBits): void {
    const perBlock = Math.max(1, Math.floor(MAX_ROWS / (layer.numHeads / layer.numKvHeads)));
    this.#writeAttend(layer, spans, q, out, 0, 0, perBlock, bits);
    const blocks = spans.reduce((sum, span) => sum + Math.ceil(span.count / perBlock), 0);
    this.#pool.run("attendPrefill", this.#params, blocks * layer.numKvHeads);
  }

  /** partials, numSplits: for decoding, otherwise 0 · perBlock: query rows in a block of prefill */
  #writeAttend(
    layer: AttentionLayer,
    spans: readonly Span[],
    q: number,
    out: number,
    partials: number,
    numSplits: number,
    perBlock: number,
    bits: ChosenBits,
  ): void {
    const { format } = layer.kv;
    const tables = this.#tables.of(layer.kv);
    const { main, residual } = layer.cache;
    const spanTable = this.#writeSpans(spans, layer.index, perBlock);
    const { rotation } = tables.v;
    const matrices = tables.v.inverse;
    attend.write(this.#memory.view, this.#params, {
      padded: alignUp(layer.valueDim, 32),
      numHeads: layer.numHeads,
      numKvHeads: layer.numKvHeads,
      group: layer.numHeads / layer.numKvHeads,
      query: q,
      out,
      partials,
      spans: spanTable,
      numSplits,
      splitTokens: SPLIT_TOKENS,
      sinks: format.sinks,
      window: format.window,
      sliding: layer.slidingWindow,
      tokensPerRow: layer.tokensPerRow ?? 1,
      chunked: layer.isChunked ? 1 : 0,
      hasResidual: residual ? 1 : 0,
      pageTokens: main.pageTokens,
      residualTokens: residual?.layout.pageTokens ?? 1,
      residualK: offsetOf(residual?.layout.k.planes[0]),
      residualV: offsetOf(residual?.layout.v.planes[0]),
      rotation: matrices ? ROTATIONS.headMatrices : rotation ? ROTATIONS[format.rotation] : 0,
      rotationSize: rotation?.size ?? 0,
      rotationRounds: rotation?.rounds ?? 0,
      rotationData: matrices || (rotation?.inverse ?? 0),
      rowsPerBlock: perBlock,
      softcap: layer.softcap,
      sinkLogits: layer.sinkLogits ? asWasmWeight(layer.sinkLogits).address : 0,
      valueScale: layer.valueScale,
      ...rotaryFields(layer),
      ...bits,
      kWindow: tables.k.windowAttend,
      vWindow: tables.v.windowAttend,
      tiers: tables.tiers.attend,
      numTiers: tables.tiers.count,
      kSide: this.#attendSide(layer, "k", main.k),
      vSide: this.#attendSide(layer, "v", main.v),
    });
  }

  #attendSide(layer: AttentionLayer, which: "k" | "v", layout: SideLayout): ValuesOf<typeof attendSide> {
    const dim = dimOf(layer, which);
    const { type, codebook, sketch } = this.#tables.of(layer.kv)[which];
    return {
      type,
      plane0: planeOffset(layout, 0),
      plane1: planeOffset(layout, 1),
      plane2: planeOffset(layout, 2),
      scales: offsetOf(layout.scales[0]),
      table: codebook?.address ?? 0,
      step: codebook ? codebook.step / Math.sqrt(dim) : 1,
      largest: codebook?.largest ?? LARGEST_IN_BLOCK,
      sketchSigns: sketch ? offsetOf(layout.planes.at(-1)) : 0,
      sketchNorms: sketch ? offsetOf(layout.scales[1]) : 0,
      sketchMatrix: sketch?.address ?? 0,
      sketchFactor: sketch?.factor ?? 0,
      sketchRows: sketch?.rows ?? 0,
      dim,
    };
  }

  #appendSide(layer: AttentionLayer, which: "k" | "v", layout: SideLayout): ValuesOf<typeof appendSide> {
    const tables = this.#tables.of(layer.kv)[which];
    const { rotation, sketch } = tables;
    return {
      type: tables.type,
      plane0: planeOffset(layout, 0),
      plane1: planeOffset(layout, 1),
      plane2: planeOffset(layout, 2),
      scales: offsetOf(layout.scales[0]),
      rotated: tables.isRotated ? 1 : 0,
      rule: SCALE_RULES[tables.rule],
      search: tables.search ? 1 : 0,
      quantizer: tables.quantizer,
      sketchSigns: sketch ? offsetOf(layout.planes.at(-1)) : 0,
      sketchNorms: sketch ? offsetOf(layout.scales[1]) : 0,
      sketchMatrix: sketch?.address ?? 0,
      sketchRows: sketch?.rows ?? 0,
      forward: tables.forward,
      queryMatrix: which === "k" ? tables.inverse : 0,
      feedback: tables.feedback,
      dim: dimOf(layer, which),
      rotation: rotation ? ROTATIONS[layer.kv.format.rotation] : 0,
      rotationSize: rotation?.size ?? 0,
      rotationRounds: rotation?.rounds ?? 0,
      rotationData: rotation?.forward ?? 0,
      centroids: 0,
    };
  }

  /** Writes the span structs, followed by their block tables. */
  #writeSpans(spans: readonly Span[], layer: number, perBlock: number): number {
    const tables = spans.map(({ sequence }) => ({
      main: sequence.main(layer).entries(),
      residual: sequence.residual(layer).entries(),
      tiers: sequence.tiers(layer).map((table) => table.entries()),
    }));
    const words = tables.reduce((sum, t) => {
      const ofTiers = t.tiers.reduce((all, entries) => all + entries.length + tierPages.numBytes / 4, 0);
      return sum + t.main.length + t.residual.length + ofTiers;
    }, 0);
    const base = this.#spans.ensure(spans.length * spanRecord.numBytes + words * 4);
    let at = base + spans.length * spanRecord.numBytes;
    const put = (entries: Uint32Array): number => {
      this.#memory.u32.set(entries, at / 4);
      at += entries.length * 4;
      return at - entries.length * 4;
    };
    let firstBlock = 0;
    spans.forEach(({ row, start, count, sequence }, i) => {
      const { main, residual, tiers } = tables[i]!;
      const held = at;
      at += tiers.length * tierPages.numBytes;
      for (const [tier, entries] of tiers.entries()) {
        const pages = sequence.kv(layer).tierPages(tier, start);
        tierPages.write(this.#memory.view, held + tier * tierPages.numBytes, { table: put(entries), pages });
      }
      spanRecord.write(this.#memory.view, base + i * spanRecord.numBytes, {
        row,
        start,
        count,
        main: put(main),
        residual: put(residual),
        residualStart: sequence.residualStart(layer),
        firstBlock,
        tiers: held,
      });
      firstBlock += Math.ceil(count / perBlock);
    });
    return base;
  }
}
