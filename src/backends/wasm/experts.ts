/**
 * @file The kernels that operations about experts are made of: rows are brought into the order of their experts, so that each expert's weights are read
 * once for all rows that chose it, and weights of others not at all.
 */
import { assert } from "../../errors.ts";
import type { ExpertHeads, Router } from "../experts.ts";
import { linear as linearParams, mix as mixParams, prepare, segments } from "../parameters/activations.ts";
import { RouteScratch, routeRow } from "../route.ts";
import { BLOCK_BYTES, PARALLEL_MACS, STREAM_BYTES, STREAM_ROWS } from "./linear.ts";
import { PARAMS_ADDRESS, type WasmMemory } from "./memory.ts";
import { ScratchBuffer } from "./scratch-buffer.ts";
import type { ThreadPool } from "./thread-pool.ts";
import type { WasmWeight } from "./wasm-weight.ts";
import { preparedBytes } from "./weight-layout.ts";

/** Values that take about as long to prepare as waking another thread. */
const PARALLEL_VALUES = 1 << 15;

/** The rows of a step in the order of their experts. A row is there once for each of its experts. */
class ExpertOrder {
  /** Number of rows in this order. */
  count = 0;
  /** The rows of experts that give what they read are the last ones, from here on. */
  firstIdentity = 0;
  /** Number of other experts that any row chose. */
  numSegments = 0;
  /** For each of them: which expert it is, its first row, and its number of rows. */
  experts = new Int32Array(0);
  firsts = new Int32Array(0);
  counts = new Int32Array(0);
  /** Where row r's k-th expert is, [rows][topK], and the way back. */
  places = new Int32Array(0);
  slots = new Int32Array(0);
  #next = new Int32Array(0);

  /** routes: of the rows, as `Ops.route` leaves them, from word `at` on. Numbers from `numExperts` on are of experts that give what they read. */
  make(routes: Float32Array, at: number, rows: number, topK: number, numExperts: number): void {
    this.count = rows * topK;
    if (this.places.length < this.count) {
      this.places = new Int32Array(this.count);
      this.slots = new Int32Array(this.count);
    }
    if (this.#next.length <= numExperts) {
      this.#next = new Int32Array(numExperts + 1);
      this.experts = new Int32Array(numExperts);
      this.firsts = new Int32Array(numExperts);
      this.counts = new Int32Array(numExperts);
    }
    const next = this.#next.fill(0);
    for (let row = 0; row < rows; row++) {
      for (let k = 0; k < topK; k++) next[Math.min(routes[at + row * 2 * topK + k]!, numExperts)]!++;
    }
    let first = 0;
    this.numSegments = 0;
    for (let expert = 0; expert < numExperts; expert++) {
      const count = next[expert]!;
      next[expert] = first;
      if (count === 0) continue;
      const segment = this.numSegments++;
      this.experts[segment] = expert;
      this.firsts[segment] = first;
      this.counts[segment] = count;
      first += count;
    }
    next[numExperts] = first;
    this.firstIdentity = first;
    for (let slot = 0; slot < this.count; slot++) {
      const row = Math.floor(slot / topK);
      const place = next[Math.min(routes[at + row * 2 * topK + (slot - row * topK)]!, numExperts)]!++;
      this.places[slot] = place;
      this.slots[place] = slot;
    }
  }
}

export class ExpertKernels {
  readonly #memory: WasmMemory;
  readonly #pool: ThreadPool;
  readonly #prepared: ScratchBuffer;
  readonly #table: ScratchBuffer;
  readonly #places: ScratchBuffer;
  readonly #route = new RouteScratch();
  readonly #order = new ExpertOrder();
  /** Offsets of each segment in the memory of prepared activations. */
  #values = new Float64Array(0);

  constructor(memory: WasmMemory, pool: ThreadPool) {
    this.#memory = memory;
    this.#pool = pool;
    this.#prepared = new ScratchBuffer(memory);
    this.#table = new ScratchBuffer(memory);
    this.#places = new ScratchBuffer(memory);
  }

  /**
   * logits: address of f32 [rows][router.stride] · vectors: of f32 [numExperts], or 0 · routes: of f32 [rows][2 · topK]
   */
  route(
    logits: number,
    router: Router,
    vectors: { readonly bias: number; readonly expertScales: number },
    rows: number,
    routes: number,
  ): void {
    const { f32 } = this.#memory;
    const at = (address: number) => (address === 0 ? null : f32.subarray(address / 4, address / 4 + router.numExperts));
    const own = { bias: at(vectors.bias), expertScales: at(vectors.expertScales) };
    for (let row = 0; row < rows; row++) {
      const first = logits / 4 + row * router.stride;
      routeRow(router, f32, first, own, f32, routes / 4 + row * 2 * router.topK, this.#route);
    }
  }

  /** Brings the rows into the order of their experts; what follows is about these. */
  sort(routes: number, rows: number, topK: number, numExperts: number): void {
    this.#order.make(this.#memory.f32, routes / 4, rows, topK, numExperts);
  }

  /** Copies rows of x, f32 [rows][width], to `to` in the order of their experts. weights: factors of them, as in routes, or 0 */
  gather(x: number, width: number, topK: number, to: number, weights: number): void {
    const { f32 } = this.#memory;
    const { count, slots } = this.#order;
    for (let place = 0; place < count; place++) {
      const slot = slots[place]!;
      const row = Math.floor(slot / topK);
      const from = x / 4 + row * width;
      const at = to / 4 + place * width;
      if (weights === 0) f32.copyWithin(at, from, from + width);
      else {
        const weight = f32[weights / 4 + row * 2 * topK + topK + (slot - row * topK)]!;
        for (let i = 0; i < width; i++) f32[at + i] = f32[from + i]! * weight;
      }
    }
  }

  /** What experts give that give what they read: rows of x, f32 [rows][width], in the places of `to`. */
  pass(x: number, width: number, topK: number, to: number): void {
    const { f32 } = this.#memory;
    const { count, firstIdentity, slots } = this.#order;
    for (let place = firstIdentity; place < count; place++) {
      const from = x / 4 + Math.floor(slots[place]! / topK) * width;
      f32.copyWithin(to / 4 + place * width, from, from + width);
    }
  }

  /**
   * Copies the heads of each row's experts between their places in rows of `columns` and rows of their own in the order of experts, `width` values.
   *
   * rows, ordered: addresses · isGathered: from `rows` to `ordered`, else the other way
   */
  copyHeads(
    rows: number,
    { topK, headDim, columns }: ExpertHeads,
    ordered: number,
    width: number,
    isGathered: boolean,
  ) {
    const { f32 } = this.#memory;
    const { count, slots } = this.#order;
    for (let place = 0; place < count; place++) {
      const row = Math.floor(slots[place]! / topK);
      const k = slots[place]! - row * topK;
      const own = ordered / 4 + place * width;
      const first = rows / 4 + row * columns.stride + columns.first + k * headDim;
      for (let at = 0; at < width; at += headDim) {
        const among = first + at * topK;
        if (isGathered) f32.copyWithin(own + at, among, among + headDim);
        else f32.copyWithin(among, own + at, own + at + headDim);
      }
    }
  }

  /**
   * Each row times the matrix of its expert, and its bias.
   *
   * x: f32 [order][w.cols], or with `isShared` one row for all · w: rows of an expert lie together, `height` of them · bias:
   * address of f32 [w.rows], or 0 · out: f32 [order][height]
   */
  multiply(x: number, isShared: boolean, w: WasmWeight, height: number, bias: number, out: number): void {
    const { unitRows } = w.unit === height ? w : { unitRows: height };
    assert(!w.isVector && unitRows % 4 === 0, "experts: expected a matrix whose experts have whole panels");
    const { firstIdentity: total, numSegments, experts, firsts, counts } = this.#order;
    if (numSegments === 0) return;
    const { format, stride, cols } = w;
    if (this.#values.length < numSegments) this.#values = new Float64Array(numSegments);
    const numPrepared = isShared ? 1 : numSegments;
    let bytes = 0;
    let most = 0;
    for (let s = 0; s < numPrepared; s++) {
      this.#values[s] = bytes;
      const own = preparedBytes(format, isShared ? 1 : counts[s]!, stride);
      bytes += Math.ceil((own.values + own.sums + own.scales) / 16) * 16;
    }
    for (let s = 0; s < numSegments; s++) most = Math.max(most, counts[s]!);
    const prepared = this.#prepared.ensure(bytes);
    const table = this.#table.ensure(numSegments * Math.max(prepare.numBytes, linearParams.numBytes));
    const { view } = this.#memory;

    const preparedRows = isShared ? 1 : Math.max(1, Math.ceil(total / (this.#pool.threads * 4)));
    for (let s = 0; s < numPrepared; s++) {
      const rows = isShared ? 1 : counts[s]!;
      const own = preparedBytes(format, rows, stride);
      const values = prepared + this.#values[s]!;
      prepare.write(view, table + s * prepare.numBytes, {
        x: x + (isShared ? 0 : firsts[s]! * cols * 4),
        out: values,
        sums: values + own.values,
        scale: values + own.values + own.sums,
        cols,
        stride,
        rows,
        block: preparedRows,
      });
    }
    const rowsAtMost = isShared ? 1 : most;
    this.#run(w, prepare.numBytes, table, false, numPrepared, Math.ceil(rowsAtMost / preparedRows), {
      isParallel: (isShared ? 1 : total) * stride > PARALLEL_VALUES,
    });

    const { unpackedBytes } = format;
    const rowBytes = most > STREAM_ROWS && unpackedBytes > 0 ? stride * unpackedBytes : w.rowBytes;
    const taskBytes = most <= STREAM_ROWS ? STREAM_BYTES : BLOCK_BYTES;
    const even = (height * numSegments) / (this.#pool.threads * 4);
    const block = Math.max(4, Math.floor(Math.min(taskBytes / rowBytes, even) / 4) * 4);
    for (let s = 0; s < numSegments; s++) {
      const rows = counts[s]!;
      const own = preparedBytes(format, isShared ? 1 : rows, stride);
      const values = prepared + this.#values[isShared ? 0 : s]!;
      const first = experts[s]! * height;
      linearParams.write(view, table + s * linearParams.numBytes, {
        x: values,
        xSums: values + own.values,
        xScale: values + own.values + own.sums,
        w: w.address + experts[s]! * unitRows * w.rowBytes,
        bias: bias === 0 ? 0 : bias + first * 4,
        out: out + firsts[s]! * height * 4,
        rows,
        n: height,
        total: height,
        stride,
        add: 0,
        block,
        readsAhead: this.#memory.exceedsCaches ? 1 : 0,
      });
    }
    this.#run(w, linearParams.numBytes, table, true, numSegments, Math.ceil(height / block), {
      isParallel: total * height * stride > PARALLEL_MACS,
    });
  }

  /** out[r] (+)= Σ of what its experts gave. weights: factors of them, as in routes, or 0 for none */
  mix(from: number, width: number, rows: number, topK: number, weights: number, out: number, add: boolean): void {
    const { count, places } = this.#order;
    const address = this.#places.ensure(count * 4);
    this.#memory.i32.set(places.subarray(0, count), address / 4);
    const block = Math.max(1, Math.ceil(rows / (this.#pool.threads * 4)));
    mixParams.write(this.#memory.view, PARAMS_ADDRESS, {
      from,
      places: address,
      weights: weights === 0 ? 0 : weights + topK * 4,
      weightStride: 2 * topK * 4,
      out,
      width,
      rows,
      count: topK,
      block,
      add: add ? 1 : 0,
    });
    this.#pool.run("mix", PARAMS_ADDRESS, Math.ceil(rows / block), count * width > PARALLEL_VALUES);
  }

  #run(
    w: WasmWeight,
    segmentBytes: number,
    table: number,
    isProduct: boolean,
    count: number,
    perSegment: number,
    { isParallel }: { readonly isParallel: boolean },
  ): void {
    segments.write(this.#memory.view, PARAMS_ADDRESS, {
      table,
      segmentBytes,
      perSegment,
      kernel: w.format.code,
      isProduct: isProduct ? 1 : 0,
    });
    this.#pool.run("segments", PARAMS_ADDRESS, count * perSegment, isParallel);
  }
}
