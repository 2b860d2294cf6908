/** @file Test helper: the attention kernels on pages in a memory of their own, one KV head, without a backend around them. */
import { attend, type attendSide, MAX_ROWS, SCRATCH_BYTES, span } from "../../src/backends/parameters/attention.ts";
import type { ValuesOf } from "../../src/backends/parameters/struct.ts";
import { wasmCodecs } from "../../src/backends/wasm/codecs/registry.ts";
import { LARGEST_IN_BLOCK, offsetOf, planeOffset } from "../../src/backends/wasm/kv-params.ts";
import { compileKernels, instantiate, type Kernels } from "../../src/backends/wasm/load-kernels.ts";
import { SPLIT_TOKENS } from "../../src/backends/wasm/sizes.ts";
import type { SideFormat } from "../../src/quant/kv-format.ts";
import { PAGE_TOKENS, type PageLayout, pageLayout, RESIDUAL_PAGE_TOKENS } from "../../src/quant/page-layout.ts";
import { sideFormat } from "./side-format.ts";

const PARAMS = 4096;

export interface AttentionShape {
  readonly k: string;
  readonly v: string;
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
  readonly #span: number;
  readonly #blocks: number;
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
    this.#span = this.#allocate(span.numBytes);
    const partials = this.#allocate(partialBytes);
    this.#blocks = this.#allocate(this.numPages * 4);
    this.pages = this.#allocate(this.numPages * this.layout.numBytes);
    for (let page = 0; page < this.numPages; page++) {
      this.view.setUint32(this.#blocks + 4 * page, this.pages + page * this.layout.numBytes, true);
    }
    attend.write(this.view, PARAMS, {
      padded: Math.ceil(shape.headDim / 32) * 32,
      numHeads: heads,
      numKvHeads: shape.numKvHeads,
      group: shape.group,
      query: this.query,
      out: this.out,
      partials,
      spans: this.#span,
      numSplits: splits,
      splitTokens: SPLIT_TOKENS,
      sinks: 0,
      window: 0,
      sliding: 0,
      tokensPerRow: 1,
      chunked: 0,
      hasResidual: 0,
      pageTokens: PAGE_TOKENS,
      residualTokens: RESIDUAL_PAGE_TOKENS,
      residualK: 0,
      residualV: 0,
      rotation: 0,
      rotationSize: 0,
      rotationRounds: 0,
      rotationData: 0,
      rowsPerBlock: this.#perBlock,
      softcap: 0,
      sinkLogits: 0,
      valueScale: 1,
      rotaryDim: 0,
      rotaryType: 0,
      rotaryPlane: 0,
      residualRotary: 0,
      ...{ chosen: 0, chosenLists: 0, chosenWords: 0, headWeights: 0, scores: 0, scoreStride: 0 },
      logSums: 0,
      kWindow: 0,
      vWindow: 0,
      tiers: 0,
      numTiers: 0,
      kSide: this.#attendSide("k"),
      vSide: this.#attendSide("v"),
    });
  }

  /** maxRows: most positions of a `decode` or `prefill` */
  static async create(shape: AttentionShape, maxRows = 1): Promise<AttentionFixture> {
    return new AttentionFixture(shape, maxRows, await compileKernels("strict", true));
  }

  get #perBlock(): number {
    return Math.max(1, Math.floor(MAX_ROWS / this.shape.group));
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
    span.write(this.view, this.#span, {
      row: 0,
      start: this.shape.tokens - count,
      count,
      main: this.#blocks,
      residual: 0,
      residualStart: 0,
      firstBlock: 0,
      tiers: 0,
    });
  }

  #side(which: "k" | "v"): SideFormat {
    const { [which]: type, trellis } = this.shape;
    return sideFormat(type, { trellis });
  }

  #attendSide(which: "k" | "v"): ValuesOf<typeof attendSide> {
    const side = this.#side(which);
    const layout = this.layout[which];
    const codec = wasmCodecs.of(side);
    const codebook = codec.book?.(side, this.shape.headDim).codebook();
    const table = this.#allocate(codebook?.bytes.length ?? 16);
    if (codebook) this.u8.set(codebook.bytes, table);
    return {
      type: codec.typeCode(side),
      plane0: planeOffset(layout, 0),
      plane1: planeOffset(layout, 1),
      plane2: planeOffset(layout, 2),
      scales: offsetOf(layout.scales[0]),
      table,
      step: codebook ? codebook.step / Math.sqrt(this.shape.headDim) : 1,
      largest: codebook?.max ?? LARGEST_IN_BLOCK,
      sketchSigns: 0,
      sketchNorms: 0,
      sketchMatrix: 0,
      sketchFactor: 0,
      sketchRows: 0,
      dim: this.shape.headDim,
    };
  }

  #allocate(numBytes: number): number {
    const address = this.#end;
    this.#end = (this.#end + numBytes + 63) & ~63;
    return address;
  }
}
