/** @file Test helper: the attention kernels on pages in a memory of their own, one KV head, without a backend around them. */
import { codebookTable } from "../../src/backends/wasm/codebook-table.ts";
import {
  ATTEND,
  ATTEND_SIDE,
  K_SIDE,
  LARGEST_IN_BLOCK,
  offsetOf,
  planeWords,
  putWords,
  SPAN,
  typeCode,
  V_SIDE,
} from "../../src/backends/wasm/kv-params.ts";
import { compileKernels, instantiate, type Kernels } from "../../src/backends/wasm/load-kernels.ts";
import { SCRATCH_BYTES } from "../../src/backends/wasm/sizes.ts";
import type { KvType, SideFormat } from "../../src/quant/kv-format.ts";
import { plain } from "../../src/quant/kv-presets.ts";
import { PAGE_TOKENS, type PageLayout, pageLayout } from "../../src/quant/page-layout.ts";
import { kindOf } from "../../src/quant/side-kind.ts";

const PARAMS = 4096;
const SPLIT_TOKENS = 2048;

export interface AttentionShape {
  readonly k: KvType;
  readonly v: KvType;
  readonly headDim: number;
  readonly numKvHeads: number;
  /** Query heads a KV head. */
  readonly group: number;
  readonly tokens: number;
  /** Codes of two bits are those of a trellis. */
  readonly trellis?: boolean;
}

/** Pages of one sequence, its queries and outputs; the queries are the sequence's last positions. */
export class AttentionFixture {
  readonly shape: AttentionShape;
  readonly layout: PageLayout;
  readonly numPages: number;
  readonly memory: WebAssembly.Memory;
  readonly view: DataView;
  readonly f32: Float32Array;
  readonly u8: Uint8Array;
  /** Addresses. */
  readonly pages: number;
  readonly query: number;
  readonly out: number;
  readonly #kernels: Kernels;
  readonly #scratch: number;
  readonly #spans: number;
  #end = 65536;

  private constructor(shape: AttentionShape, maxRows: number, module: WebAssembly.Module) {
    this.shape = shape;
    this.layout = pageLayout(this.#side("k"), this.#side("v"), shape.headDim, shape.numKvHeads);
    this.numPages = Math.ceil(shape.tokens / PAGE_TOKENS);
    const heads = shape.numKvHeads * shape.group;
    const rowBytes = maxRows * heads * shape.headDim * 4;
    const splits = Math.ceil(shape.tokens / SPLIT_TOKENS);
    const partialBytes = maxRows * heads * splits * (shape.headDim + 34) * 4;
    const total = 2 * rowBytes + partialBytes + this.numPages * (this.layout.numBytes + 4) + SCRATCH_BYTES + 2 * 65536;
    this.memory = new WebAssembly.Memory({ initial: Math.ceil(total / 65536) + 1, maximum: 65536, shared: true });
    this.view = new DataView(this.memory.buffer);
    this.f32 = new Float32Array(this.memory.buffer);
    this.u8 = new Uint8Array(this.memory.buffer);
    this.#kernels = instantiate(module, this.memory);
    this.#scratch = this.#allocate(SCRATCH_BYTES);
    this.query = this.#allocate(rowBytes);
    this.out = this.#allocate(rowBytes);
    this.#spans = this.#allocate(64);
    const partials = this.#allocate(partialBytes);
    const blocks = this.#allocate(this.numPages * 4);
    this.pages = this.#allocate(this.numPages * this.layout.numBytes);
    for (let page = 0; page < this.numPages; page++) {
      this.view.setUint32(blocks + 4 * page, this.pages + page * this.layout.numBytes, true);
    }
    putWords(this.view, PARAMS, [
      [ATTEND.headDim, shape.headDim],
      [ATTEND.padded, Math.ceil(shape.headDim / 32) * 32],
      [ATTEND.numHeads, heads],
      [ATTEND.numKvHeads, shape.numKvHeads],
      [ATTEND.group, shape.group],
      [ATTEND.query, this.query],
      [ATTEND.out, this.out],
      [ATTEND.partials, partials],
      [ATTEND.spans, this.#spans],
      [ATTEND.numSplits, splits],
      [ATTEND.splitTokens, SPLIT_TOKENS],
      [ATTEND.pageTokens, PAGE_TOKENS],
      [ATTEND.residualTokens, 16],
      [ATTEND.rowsPerBlock, this.#perBlock],
    ]);
    putWords(this.view, this.#spans, [[SPAN.main, blocks]]);
    this.#putSide(K_SIDE, "k");
    this.#putSide(V_SIDE, "v");
  }

  /** maxRows: most positions of a `decode` or `prefill` */
  static async create(shape: AttentionShape, maxRows = 1): Promise<AttentionFixture> {
    return new AttentionFixture(shape, maxRows, await compileKernels("strict", true));
  }

  get #perBlock(): number {
    return Math.max(1, Math.floor(32 / this.shape.group));
  }

  /** Attention of the last position, on this thread. */
  decode(): void {
    this.#putSpan(1);
    const { numKvHeads, group, tokens } = this.shape;
    const tasks = numKvHeads * Math.ceil(tokens / SPLIT_TOKENS);
    for (let task = 0; task < tasks; task++) this.#kernels["attendDecode"]!(task, PARAMS, this.#scratch);
    for (let task = 0; task < numKvHeads * group; task++) this.#kernels["attendMerge"]!(task, PARAMS, this.#scratch);
  }

  /** Attention of the last `rows` positions in blocks, on this thread. */
  prefill(rows: number): void {
    this.#putSpan(rows);
    const tasks = Math.ceil(rows / this.#perBlock) * this.shape.numKvHeads;
    for (let task = 0; task < tasks; task++) this.#kernels["attendPrefill"]!(task, PARAMS, this.#scratch);
  }

  #putSpan(count: number): void {
    putWords(this.view, this.#spans, [
      [SPAN.start, this.shape.tokens - count],
      [SPAN.count, count],
    ]);
  }

  #side(which: "k" | "v"): SideFormat {
    const { [which]: type, trellis } = this.shape;
    return { ...plain(type), trellis: trellis && type === "tq2" };
  }

  #putSide(base: number, which: "k" | "v"): void {
    const side = this.#side(which);
    const layout = this.layout[which];
    const codebook = kindOf(side.type) === "scalar" ? codebookTable(this.shape.headDim, side) : null;
    const table = this.#allocate(codebook?.bytes.length ?? 16);
    if (codebook) this.u8.set(codebook.bytes, table);
    putWords(this.view, PARAMS + base, [
      [ATTEND_SIDE.type, typeCode(side)],
      ...planeWords(layout, ATTEND_SIDE.planes),
      [ATTEND_SIDE.scales, offsetOf(layout.scales)],
      [ATTEND_SIDE.table, table],
    ]);
    const step = codebook ? codebook.step / Math.sqrt(this.shape.headDim) : 1;
    this.view.setFloat32(PARAMS + base + ATTEND_SIDE.step, step, true);
    this.view.setFloat32(PARAMS + base + ATTEND_SIDE.largest, codebook?.max ?? LARGEST_IN_BLOCK, true);
  }

  #allocate(numBytes: number): number {
    const address = this.#end;
    this.#end = (this.#end + numBytes + 63) & ~63;
    return address;
  }
}
