/** @file `appendKv` and `attend` of the WASM backend: lays out parameters, tables and spans, and runs the kernels. */
import { assert } from "../../errors.ts";
import { isRotated, type SideLayout } from "../../quant/page-layout.ts";
import { sketchFactor } from "../../quant/qjl.ts";
import { DECODE_TOKENS } from "../decode-tokens.ts";
import { quantizeFullPages } from "../kivi-append.ts";
import type { AttentionLayer, Rope, Span, Step } from "../ops.ts";
import { MAX_ROWS, ROTATIONS, SCALE_RULES } from "../parameters/attention.ts";
import {
  APPEND,
  APPEND_SIDE,
  ATTEND,
  ATTEND_SIDE,
  appendTasks,
  K_SIDE,
  LARGEST_IN_BLOCK,
  offsetOf,
  PARAM_BYTES,
  planeWords,
  putWords,
  SPAN,
  SPAN_BYTES,
  typeCode,
  V_SIDE,
} from "./kv-params.ts";
import { KvTables } from "./kv-tables.ts";
import type { WasmMemory } from "./memory.ts";
import { ScratchBuffer } from "./scratch-buffer.ts";
import { SPLIT_TOKENS } from "./sizes.ts";
import type { ThreadPool } from "./thread-pool.ts";

/** Fewer keys (times KV heads) than this take less time than waking another thread. */
const PARALLEL_KEYS = 256;

export class KvKernels {
  readonly #memory: WasmMemory;
  readonly #pool: ThreadPool;
  readonly #tables: KvTables;
  readonly #params: number;
  readonly #slots: ScratchBuffer;
  readonly #angles: ScratchBuffer;
  readonly #spans: ScratchBuffer;
  readonly #partials: ScratchBuffer;
  /** Addresses of the angles of the step's ropes. */
  #ropes: readonly { readonly cos: number; readonly sin: number }[] = [];

  constructor(memory: WasmMemory, pool: ThreadPool) {
    this.#memory = memory;
    this.#pool = pool;
    this.#tables = new KvTables(memory);
    this.#params = memory.allocateZeroed(PARAM_BYTES, "kernel parameters");
    this.#slots = new ScratchBuffer(memory);
    this.#angles = new ScratchBuffer(memory);
    this.#spans = new ScratchBuffer(memory);
    this.#partials = new ScratchBuffer(memory);
  }

  /** Writes cos and sin of every row's angles, f32 from f64, for each rope. */
  beginStep(step: Step, ropes: readonly Rope[]): void {
    const rows = step.positions.length;
    let at = this.#angles.ensure(ropes.reduce((sum, { invFreq }) => sum + rows * invFreq.length * 8, 0));
    this.#ropes = ropes.map(({ invFreq, attentionFactor }) => {
      const half = invFreq.length;
      const [cos, sin] = [at, at + rows * half * 4];
      at += rows * half * 8;
      const cosines = this.#memory.f32.subarray(cos / 4, cos / 4 + rows * half);
      const sines = this.#memory.f32.subarray(sin / 4, sin / 4 + rows * half);
      step.positions.forEach((position, row) => {
        for (let i = 0; i < half; i++) {
          const angle = position * invFreq[i]!;
          cosines[row * half + i] = Math.cos(angle) * attentionFactor;
          sines[row * half + i] = Math.sin(angle) * attentionFactor;
        }
      });
      return { cos, sin };
    });
  }

  /** qkv, q, norms: addresses of f32 arrays as in `Ops.appendKv` (a norm is 0 when the model has none). */
  append(step: Step, layer: AttentionLayer, qkv: number, q: number, norms: { q: number; k: number }): void {
    const { headDim } = layer;
    const { format } = layer.kv;
    const tables = this.#tables.of(layer.kv);
    const rows = step.tokens.length;
    const { main, residual } = layer.cache;
    const angles = this.#ropes[layer.rope];
    assert(angles, `appendKv: layer ${layer.index} asks for rope ${layer.rope} of ${this.#ropes.length}`);
    const slots = this.#writeSlots(step, layer.index);
    const sides = [this.#appendSide(layer, "k", main.k), this.#appendSide(layer, "v", main.v)] as const;
    const { rotation } = tables;

    const view = this.#view(this.#params, PARAM_BYTES);
    putWords(view, 0, [
      [APPEND.headDim, headDim],
      [APPEND.numHeads, layer.numHeads],
      [APPEND.numKvHeads, layer.numKvHeads],
      [APPEND.numRows, rows],
      [APPEND.qkv, qkv],
      [APPEND.query, q],
      [APPEND.qNorm, norms.q],
      [APPEND.kNorm, norms.k],
      [APPEND.cos, angles.cos],
      [APPEND.sin, angles.sin],
      [APPEND.mean, tables.mean],
      [APPEND.balance, tables.balance],
      [APPEND.rotation, rotation ? ROTATIONS[format.rotation] : 0],
      [APPEND.rotationSize, rotation?.size ?? 0],
      [APPEND.rotationRounds, rotation?.rounds ?? 0],
      [APPEND.rotationData, rotation?.forward ?? 0],
      [APPEND.slots, slots],
      [APPEND.pageTokens, main.pageTokens],
      [APPEND.residualTokens, residual?.layout.pageTokens ?? 0],
      [APPEND.residualK, offsetOf(residual?.layout.k.planes[0])],
      [APPEND.residualV, offsetOf(residual?.layout.v.planes[0])],
    ]);
    view.setFloat32(APPEND.eps, layer.normEps, true);
    view.setFloat32(APPEND.softmaxScale, layer.scale, true);
    putWords(view, K_SIDE, sides[0]);
    putWords(view, V_SIDE, sides[1]);
    const parallel = rows * layer.numKvHeads >= 4;
    this.#pool.run("appendRows", this.#params, appendTasks(rows, layer.numKvHeads), parallel);
    quantizeFullPages(step, layer, (address, numBytes) => this.#memory.u8.subarray(address, address + numBytes));
  }

  attend(step: Step, layer: AttentionLayer, q: number, out: number): void {
    const short = step.spans.filter((span) => span.count <= DECODE_TOKENS);
    const long = step.spans.filter((span) => span.count > DECODE_TOKENS);
    if (short.length > 0) this.#decode(step, layer, short, q, out);
    // After the merge above, which also writes (meaningless) rows of the long spans.
    if (long.length > 0) this.#prefill(layer, long, q, out);
  }

  #decode(step: Step, layer: AttentionLayer, spans: readonly Span[], q: number, out: number): void {
    const rows = spans.reduce((sum, span) => sum + span.count, 0);
    const longest = Math.max(...spans.map((span) => span.start + span.count));
    const splits = Math.ceil(longest / SPLIT_TOKENS);
    const stride = (Math.ceil(layer.headDim / 32) * 32 + 2) * 4;
    const partials = this.#partials.ensure(step.tokens.length * layer.numHeads * splits * stride);
    this.#writeAttend(layer, spans, q, out, [
      [ATTEND.partials, partials],
      [ATTEND.numSplits, splits],
      [ATTEND.splitTokens, SPLIT_TOKENS],
    ]);
    const parallel = rows * longest * layer.numKvHeads >= PARALLEL_KEYS;
    this.#pool.run("attendDecode", this.#params, rows * layer.numKvHeads * splits, parallel);
    this.#pool.run("attendMerge", this.#params, step.tokens.length * layer.numHeads, splits > 4);
  }

  #prefill(layer: AttentionLayer, spans: readonly Span[], q: number, out: number): void {
    const perBlock = Math.max(1, Math.floor(MAX_ROWS / (layer.numHeads / layer.numKvHeads)));
    this.#writeAttend(layer, spans, q, out, [[ATTEND.rowsPerBlock, perBlock]], perBlock);
    const blocks = spans.reduce((sum, span) => sum + Math.ceil(span.count / perBlock), 0);
    this.#pool.run("attendPrefill", this.#params, blocks * layer.numKvHeads);
  }

  #writeAttend(
    layer: AttentionLayer,
    spans: readonly Span[],
    q: number,
    out: number,
    extra: readonly (readonly [number, number])[],
    perBlock = 1,
  ): void {
    const { headDim } = layer;
    const { format } = layer.kv;
    const tables = this.#tables.of(layer.kv);
    const { main, residual } = layer.cache;
    const spanTable = this.#writeSpans(spans, layer.index, perBlock);
    const k = this.#attendSide(layer, "k", main.k);
    const v = this.#attendSide(layer, "v", main.v);
    const rotation = isRotated(format.v, format) ? tables.rotation : null;
    const [kind, data] = tables.v.inverse
      ? [ROTATIONS.headMatrices, tables.v.inverse]
      : [rotation ? ROTATIONS[format.rotation] : 0, rotation?.inverse ?? 0];
    const view = this.#view(this.#params, PARAM_BYTES);
    putWords(view, 0, [
      [ATTEND.headDim, headDim],
      [ATTEND.padded, Math.ceil(headDim / 32) * 32],
      [ATTEND.numHeads, layer.numHeads],
      [ATTEND.numKvHeads, layer.numKvHeads],
      [ATTEND.group, layer.numHeads / layer.numKvHeads],
      [ATTEND.query, q],
      [ATTEND.out, out],
      [ATTEND.spans, spanTable],
      [ATTEND.sinks, format.sinks],
      [ATTEND.window, format.window],
      [ATTEND.sliding, layer.slidingWindow],
      [ATTEND.hasResidual, residual ? 1 : 0],
      [ATTEND.pageTokens, main.pageTokens],
      [ATTEND.residualTokens, residual?.layout.pageTokens ?? 1],
      [ATTEND.residualK, offsetOf(residual?.layout.k.planes[0])],
      [ATTEND.residualV, offsetOf(residual?.layout.v.planes[0])],
      [ATTEND.rotation, kind],
      [ATTEND.rotationSize, rotation?.size ?? 0],
      [ATTEND.rotationRounds, rotation?.rounds ?? 0],
      [ATTEND.rotationData, data],
      ...extra,
    ]);
    for (const [base, side] of [
      [K_SIDE, k],
      [V_SIDE, v],
    ] as const) {
      putWords(view, base, side.words);
      for (const [offset, value] of side.floats) view.setFloat32(base + offset, value, true);
    }
  }

  #attendSide(
    layer: AttentionLayer,
    which: "k" | "v",
    layout: SideLayout,
  ): { words: [number, number][]; floats: [number, number][] } {
    const { headDim } = layer;
    const side = layer.kv.format[which];
    const { codebook, projection } = this.#tables.of(layer.kv)[which];
    const sketch = layout.sketch;
    const numProjections = side.projections ?? headDim;
    return {
      words: [
        [ATTEND_SIDE.type, typeCode(side)],
        ...planeWords(layout, ATTEND_SIDE.planes),
        [ATTEND_SIDE.scales, offsetOf(layout.scales)],
        [ATTEND_SIDE.table, codebook?.address ?? 0],
        [ATTEND_SIDE.sketchSigns, offsetOf(sketch?.signs)],
        [ATTEND_SIDE.sketchNorms, offsetOf(sketch?.norms)],
        [ATTEND_SIDE.sketchMatrix, projection],
        [ATTEND_SIDE.sketchRows, numProjections],
      ],
      floats: [
        [ATTEND_SIDE.step, codebook ? codebook.step / Math.sqrt(headDim) : 1],
        [ATTEND_SIDE.largest, codebook?.largest ?? LARGEST_IN_BLOCK],
        [ATTEND_SIDE.sketchFactor, sketchFactor("gaussian", headDim, numProjections)],
      ],
    };
  }

  #appendSide(layer: AttentionLayer, which: "k" | "v", layout: SideLayout): [number, number][] {
    const { headDim } = layer;
    const { format } = layer.kv;
    const side = format[which];
    const sketch = layout.sketch;
    const numProjections = side.projections ?? headDim;
    const tables = this.#tables.of(layer.kv)[which];
    return [
      [APPEND_SIDE.type, typeCode(side)],
      ...planeWords(layout, APPEND_SIDE.planes),
      [APPEND_SIDE.scales, offsetOf(layout.scales)],
      [APPEND_SIDE.rotated, isRotated(side, format) ? 1 : 0],
      [APPEND_SIDE.rule, SCALE_RULES[side.scale]],
      [APPEND_SIDE.search, side.search && !side.trellis ? 1 : 0],
      [APPEND_SIDE.quantizer, tables.quantizer],
      [APPEND_SIDE.sketchSigns, offsetOf(sketch?.signs)],
      [APPEND_SIDE.sketchNorms, offsetOf(sketch?.norms)],
      [APPEND_SIDE.sketchMatrix, tables.projection],
      [APPEND_SIDE.sketchRows, numProjections],
      [APPEND_SIDE.forward, tables.forward],
      [APPEND_SIDE.queryMatrix, which === "k" ? tables.inverse : 0],
      [APPEND_SIDE.feedback, tables.feedback],
    ];
  }

  /** Span structs followed by their block tables. */
  #writeSpans(spans: readonly Span[], layer: number, perBlock: number): number {
    const tables = spans.map(({ sequence }) => ({
      main: sequence.main(layer).entries(),
      residual: sequence.residual(layer).entries(),
    }));
    const words = tables.reduce((sum, t) => sum + t.main.length + t.residual.length, 0);
    const base = this.#spans.ensure(spans.length * SPAN_BYTES + words * 4);
    let at = base + spans.length * SPAN_BYTES;
    const put = (entries: Uint32Array): number => {
      this.#memory.u32.set(entries, at / 4);
      at += entries.length * 4;
      return at - entries.length * 4;
    };
    const view = this.#view(base, spans.length * SPAN_BYTES);
    let blocks = 0;
    spans.forEach((span, i) => {
      const { main, residual } = tables[i]!;
      putWords(view, i * SPAN_BYTES, [
        [SPAN.row, span.row],
        [SPAN.start, span.start],
        [SPAN.count, span.count],
        [SPAN.main, put(main)],
        [SPAN.residual, put(residual)],
        [SPAN.residualStart, span.sequence.residualStart(layer)],
        [SPAN.firstBlock, blocks],
      ]);
      blocks += Math.ceil(span.count / perBlock);
    });
    return base;
  }

  /** Where each row's K and V go. */
  #writeSlots(step: Step, layer: number): number {
    const address = this.#slots.ensure(step.tokens.length * 16);
    const slots = this.#memory.u32.subarray(address / 4, address / 4 + step.tokens.length * 4);
    for (const { sequence, start, count, row } of step.spans) {
      const { main, residual } = sequence.cache.layers[layer]!;
      for (let n = 0; n < count; n++) {
        const position = start + n;
        const at = (row + n) * 4;
        slots[at] = sequence.main(layer).get(Math.floor(position / main.pageTokens));
        slots[at + 1] = position % main.pageTokens;
        slots[at + 2] = residual ? sequence.residual(layer).get(Math.floor(position / residual.layout.pageTokens)) : 0;
        slots[at + 3] = residual ? position % residual.layout.pageTokens : 0;
      }
    }
    return address;
  }

  #view(address: number, numBytes: number): DataView {
    return new DataView(this.#memory.memory.buffer, address, numBytes);
  }
}
