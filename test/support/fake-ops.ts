/**
 * @file A backend without arithmetic: the logits of a token are a hash of all tokens up to it, and faults come on demand.
 *
 * The tokens are kept in the pages of the cache and read from there, page by page through the block tables. So whatever
 * reads another sequence's pages, or pages that were dropped, shared or restored wrongly, gives other logits.
 *
 * The first value of an activation row stands for the row: a token, and behind attention the hash of what it attends to.
 */
import { EVERYTHING } from "../../src/backends/capabilities.ts";
import type { Experts } from "../../src/backends/experts.ts";
import { outputWidthOf } from "../../src/backends/head-product.ts";
import type {
  Activation,
  AttentionLayer,
  Buf,
  Convolution,
  DeltaRule,
  HeadProduct,
  Ops,
  RowNorm,
  Scan,
  ScanInputs,
  StatePart,
  Step,
  Weight,
  WeightPart,
  WeightType,
  WeightWriter,
} from "../../src/backends/ops.ts";
import type { DeviceSample, DeviceSampling, Draw, TokenStream } from "../../src/backends/sampling-ops.ts";
import { MemoryPageStorage } from "../../src/cache/memory-storage.ts";
import type { PageAddress } from "../../src/cache/page-storage.ts";
import type { Sequence } from "../../src/cache/sequence.ts";
import { LLM } from "../../src/engine/llm.ts";
import type { LoadOptions } from "../../src/engine/load-options.ts";
import { logSumExp } from "../../src/engine/logits.ts";
import { drawToken } from "../../src/engine/sampler.ts";
import { TurboQuantError } from "../../src/errors.ts";
import type { FileSource } from "../../src/formats/file-source.ts";
import type { PageLayout } from "../../src/quant/page-layout.ts";
import { FAKE_EOS, FAKE_FIRST_WORD, fakeCheckpoint } from "./fake-checkpoint.ts";

export interface FakeOptions {
  /** What `Ops.isRowInvariant` says of every format; default true. */
  readonly isRowInvariant?: boolean;
  /** Tokens of a prefill step; default 64. */
  readonly chunkTokens?: number;
  /** Draw tokens on the device; default false. */
  readonly samples?: boolean;
  /** About every n-th token ends the answer; default: none does. */
  readonly endsEvery?: number;
  /** Time that a step takes; default: none. */
  readonly stepMs?: number;
}

class FakeBuf implements Buf {
  readonly data: Float32Array;
  constructor(length: number) {
    this.data = new Float32Array(length);
  }
  get length(): number {
    return this.data.length;
  }
}

/** Pages that run out on demand, as the memory of a device does before the budget. */
class FakePages extends MemoryPageStorage {
  limitBytes = Number.POSITIVE_INFINITY;

  override allocate(numBytes: number): number {
    if (this.numBytes + numBytes > this.limitBytes) {
      throw new TurboQuantError("out_of_memory", `fake device: no room for ${numBytes} bytes`, { numBytes });
    }
    return super.allocate(numBytes);
  }
}

const data = (buf: Buf): Float32Array => (buf as FakeBuf).data;

/** 24 bits, which a float holds exactly. (Fowler, Noll and Vo, FNV-1a) */
function hash(state: number, value: number): number {
  return (Math.imul(state ^ value, 0x01000193) ^ (state >>> 13)) & 0xffffff;
}

export class FakeOps implements Ops {
  readonly name: string = "fake";
  readonly capabilities = EVERYTHING;
  readonly chunkTokens: number;
  readonly pages = new FakePages();
  readonly sampling?: FakeSampling;
  /** Whether the logits of a row are NaN. */
  spoils: (sequence: Sequence, position: number) => boolean = () => false;
  /** The number of the step, counted from 1, in which the device is lost; what is asked of it from then on is rejected. */
  loseDeviceAt = Number.POSITIVE_INFINITY;
  /** Steps queued so far. */
  steps = 0;
  /** The most values of a buffer: the device has no memory for a longer one. */
  mostValues = Number.POSITIVE_INFINITY;
  /** Values read back so far. */
  valuesRead = 0;
  isDisposed = false;
  readonly #isRowInvariant: boolean;
  readonly #endsEvery: number;
  readonly #stepMs: number;
  #embedding: Weight | null = null;
  /** The sequence and position of each row of the step that is being queued. */
  #rows: (readonly [Sequence, number])[] = [];
  #gathered: Int32Array = new Int32Array(0);

  constructor(options: FakeOptions = {}) {
    this.chunkTokens = options.chunkTokens ?? 64;
    this.#isRowInvariant = options.isRowInvariant ?? true;
    this.#endsEvery = options.endsEvery ?? 0;
    this.#stepMs = options.stepMs ?? 0;
    if (options.samples) this.sampling = new FakeSampling(this);
  }

  describe(): string {
    return "fake (hashes of tokens)";
  }

  loadWeight(parts: readonly WeightPart[], as: WeightType): Weight {
    const rows = parts.reduce((sum, part) => sum + part.rows, 0);
    return { rows, cols: parts[0]!.cols, type: as, numBytes: 0 };
  }

  createWeight(rows: number, cols: number, as: WeightType): WeightWriter {
    return { write: () => true, finish: () => ({ rows, cols, type: as, numBytes: 0 }) };
  }

  freeWeight(): void {}

  alloc(length: number): Buf {
    if (length > this.mostValues) {
      throw new TurboQuantError("out_of_memory", `fake device: no room for ${length} values`, { length });
    }
    return new FakeBuf(length);
  }

  free(): void {}

  isRowInvariant(): boolean {
    return this.#isRowInvariant;
  }

  beginStep(step: Step): void {
    this.steps++;
    this.#rows = step.spans.flatMap(({ sequence, start, count }) =>
      Array.from({ length: count }, (_, i) => [sequence, start + i] as const),
    );
  }

  addPositions(): void {}

  embed(step: Step, table: Weight, out: Buf): void {
    this.#embedding = table;
    const tokens = step.tokensFrom ? this.sampling!.latestOf(step.tokensFrom) : step.tokens;
    for (let row = 0; row < step.tokens.length; row++) data(out)[row * table.cols] = tokens[row]!;
  }

  rmsNorm(x: Buf, weight: Weight, _eps: number, rows: number, out: Buf): void {
    for (let row = 0; row < rows; row++) data(out)[row * weight.cols] = data(x)[row * weight.cols]!;
  }

  norm(x: Buf, { weight, add, first = 0, stride = weight.cols }: RowNorm, rows: number, out: Buf): void {
    if (add || first > 0) return;
    for (let row = 0; row < rows; row++) data(out)[row * stride] = data(x)[row * stride]!;
  }

  /** Hands the rows on; the head turns each into logits. */
  linear(x: Buf, w: Weight, _bias: Weight | null, rows: number, out: Buf): void {
    for (let row = 0; row < rows; row++) {
      const value = data(x)[row * w.cols]!;
      if (w === this.#embedding) this.#logits(value, data(out).subarray(row * w.rows, (row + 1) * w.rows), row);
      else data(out)[row * w.rows] = value;
    }
  }

  appendKv(step: Step, layer: AttentionLayer, qkv: Buf): void {
    const { numHeads, numKvHeads, headDim, valueDim } = layer;
    const width = (numHeads + numKvHeads) * headDim + numKvHeads * valueDim;
    for (const { sequence, start, count, row } of step.spans) {
      const state = sequence.kv(layer.index);
      const { isAlone = false } = layer.cache.residual ?? {};
      for (let i = 0; i < count; i++) {
        const slot = this.#slot(sequence, layer.index, start + i, isAlone ? "residual" : "main");
        slot.setUint32(0, data(qkv)[(row + i) * width]!, true);
      }
      const [codedFrom, codedTo] = isAlone ? [start, start + count].map((n) => state.codedTokens(n)) : [0, 0];
      for (let position = codedFrom!; position < codedTo!; position++) {
        const from = this.#slot(sequence, layer.index, position, "residual");
        this.#slot(sequence, layer.index, position, "main").setUint32(0, from.getUint32(0, true), true);
      }
      for (const [tier, { layout }] of layer.cache.tiers.entries()) {
        const [from, to] = [start, start + count].map((n) => state.tierPages(tier, n) * layout.pageTokens);
        for (let position = from!; position < to!; position++) {
          const word = this.#slot(sequence, layer.index, position, tier === 0 ? "main" : tier - 1).getUint32(0, true);
          this.#slot(sequence, layer.index, position, tier).setUint32(0, word, true);
        }
      }
    }
  }

  coarsen(layer: AttentionLayer, tier: number, from: PageAddress, to: PageAddress): void {
    const { main, tiers } = layer.cache;
    const [source, target] = [tiers[tier - 1]?.layout ?? main, tiers[tier]!.layout];
    for (let row = 0; row < main.pageTokens; row++) {
      const word = this.#rowOf(from, source, row).getUint32(0, true);
      this.#rowOf(to, target, row).setUint32(0, word, true);
    }
  }

  appendLatent(step: Step, layer: AttentionLayer, latent: Buf): void {
    for (const { sequence, start, count, row } of step.spans) {
      for (let i = 0; i < count; i++) {
        const value = data(latent)[(row + i) * (layer.headDim + layer.rotaryKeyDim)]!;
        this.#slot(sequence, layer.index, start + i, "main").setUint32(0, value, true);
      }
    }
  }

  multiplyHeads(x: Buf, w: Weight, product: HeadProduct, rows: number, out: Buf): void {
    const { numHeads, inputWidth } = product;
    const width = numHeads * outputWidthOf(product, w.cols);
    for (let row = 0; row < rows; row++) data(out)[row * width] = data(x)[row * numHeads * inputWidth]!;
  }

  attend(step: Step, layer: AttentionLayer, _q: Buf, out: Buf): void {
    const width = layer.numHeads * layer.valueDim;
    for (const { sequence, start, count, row } of step.spans) {
      let state = layer.index + 1;
      const kv = sequence.kv(layer.index);
      const coded = kv.codedTokens(start + count);
      for (let position = 0; position < start + count; position++) {
        const page = Math.floor(position / layer.cache.main.pageTokens);
        const coarser = kv.tiers.findLastIndex((_, tier) => page < kv.tierPages(tier, start + count));
        const stream = coarser >= 0 ? coarser : position < coded ? "main" : "residual";
        state = hash(state, this.#slot(sequence, layer.index, position, stream).getUint32(0, true));
        if (position >= start) data(out)[(row + position - start) * width] = state;
      }
    }
  }

  swiglu(gateUp: Buf, rows: number, width: number, out: Buf): void {
    for (let row = 0; row < rows; row++) data(out)[row * width] = data(gateUp)[row * 2 * width]!;
  }

  activate(x: Buf, { isGated }: Activation, rows: number, width: number, out: Buf): void {
    for (let row = 0; row < rows; row++) data(out)[row * width] = data(x)[row * width * (isGated ? 2 : 1)]!;
  }

  /** Keeps a hash of all rows in the first word of the part of the state. */
  convolve(step: Step, { state, channels, input }: Convolution, x: Buf, out: Buf): void {
    this.#advance(step, state, x, input.stride, out, channels);
  }

  deltaRule(step: Step, rule: DeltaRule, qkv: Buf, _rates: Buf, _decays: Buf, out: Buf): void {
    const width = rule.numHeads * rule.valueDim;
    this.#advance(step, rule.state, qkv, 2 * rule.numKeyHeads * rule.keyDim + width, out, width);
  }

  #advance(step: Step, { index, offset }: StatePart, x: Buf, stride: number, out: Buf, width: number): void {
    for (const { sequence, start, count, row } of step.spans) {
      const pages = sequence.recurrent(index);
      const wordOf = (address: number): DataView => new DataView(this.pages.bytes(address).buffer, offset);
      const before = pages.at(start);
      let state = before ? wordOf(before).getUint32(0, true) : index + 1;
      const targets = new Map(pages.targets(start, start + count));
      for (let i = 0; i < count; i++) {
        state = hash(state, data(x)[(row + i) * stride]!);
        data(out)[(row + i) * width] = state;
        const target = targets.get(start + i + 1);
        if (target) wordOf(target).setUint32(0, state, true);
      }
    }
  }

  scan(step: Step, { state, numHeads, headDim, x }: Scan, inputs: ScanInputs, out: Buf): void {
    this.#advance(step, state, inputs.x, x.stride, out, numHeads * headDim);
  }

  /** Rows are what they were. */
  gate(): void {}
  route(): void {}

  experts(x: Buf, _routes: Buf, { gateUp, down, numExperts }: Experts, rows: number, _scratch: object, out: Buf): void {
    const width = down.rows / numExperts;
    for (let row = 0; row < rows; row++) data(out)[row * width] = data(x)[row * gateUp.cols]!;
  }

  multiplyExperts(): void {}
  chooseTokens(): void {}
  scaleColumns(): void {}
  compress(): void {}
  embedNgrams(): void {}
  matchStreams(): void {}
  turnHeads(): void {}
  streamFactors(): void {}
  routeTokens(): void {}
  resizeParts(): void {}
  mixStreams(): void {}

  /** Logits are small enough as they are. */
  softcap(): void {}

  gatherRows(step: Step, x: Buf, width: number, out: Buf): void {
    this.#gathered = step.logitRows;
    // In place it must not matter in which order rows are taken.
    const values = Array.from(step.logitRows, (row) => data(x)[row * width]!);
    for (const [row, value] of values.entries()) data(out)[row * width] = value;
  }

  async readback(buf: Buf, length: number, start = 0): Promise<Float32Array> {
    const copy = data(buf).slice(start, start + length);
    this.valuesRead += length;
    await this.wait();
    return copy;
  }

  write(buf: Buf, values: Float32Array): void {
    data(buf).set(values);
  }

  async dispose(): Promise<void> {
    this.isDisposed = true;
  }

  /** What is queued now has been done. */
  async wait(): Promise<void> {
    const step = this.steps;
    if (this.#stepMs > 0) await new Promise((resolve) => setTimeout(resolve, this.#stepMs));
    if (step >= this.loseDeviceAt)
      throw new TurboQuantError("device_lost", "fake device: it was lost; load the model again");
  }

  #logits(state: number, out: Float32Array, row: number): void {
    const [sequence, position] = this.#rows[this.#gathered[row]!]!;
    if (this.spoils(sequence, position)) {
      out.fill(Number.NaN);
      return;
    }
    // A sum of two uniform numbers: a few tokens stand out, as with a model that has learned something.
    for (let token = 0; token < out.length; token++) {
      const mixed = Math.imul(hash(state, token) ^ 0x5bd1e9, 0x9e3779b1) >>> 8;
      // Words rather than single bytes, which are no text.
      out[token] = (8 * ((mixed & 0xfff) + (mixed >>> 12))) / 8192 - (token < FAKE_FIRST_WORD ? 8 : 0);
    }
    if (this.#endsEvery > 0 && state % this.#endsEvery === 0) out[FAKE_EOS] = 100;
  }

  /** Where a layer keeps the token of a position: the first bytes of its key. */
  /** stream: a number for a coarser tier */
  #slot(sequence: Sequence, layer: number, position: number, stream: "main" | "residual" | number): DataView {
    const { main, residual, tiers } = sequence.cache.layers[layer]!;
    const isTier = typeof stream === "number";
    const layout = isTier ? tiers[stream]!.layout : stream === "main" ? main : residual!.layout;
    const table = isTier ? sequence.tiers(layer)[stream]! : sequence[stream](layer);
    const { pageTokens } = layout;
    return this.#rowOf(table.get(Math.floor(position / pageTokens)), layout, position % pageTokens);
  }

  #rowOf(address: PageAddress, { k }: PageLayout, row: number): DataView {
    const page = this.pages.bytes(address);
    const { offset, rowBytes } = k.planes[0]!;
    return new DataView(page.buffer, page.byteOffset + offset + row * rowBytes, 4);
  }
}

/** Draws as the host does, and hands tokens over a little later. */
export class FakeSampling implements DeviceSampling {
  readonly maxRows = 48;
  readonly open = new Set<TokenStream>();
  draws = 0;
  inFlight = 0;
  mostInFlight = 0;
  mostRows = 0;
  readonly #ops: FakeOps;
  readonly #latest = new Map<TokenStream, Int32Array>();

  constructor(ops: FakeOps) {
    this.#ops = ops;
  }

  createStream(draw: Draw, vocabSize: number): TokenStream | null {
    if (draw.temperature > 0 && (draw.topK === 0 || draw.topK > 64)) return null;
    const stream: TokenStream = {
      sample: (logits, rows, uniforms, firstRow = 0) => {
        const samples = Array.from({ length: rows }, (_, row) => {
          const at = (firstRow + row) * vocabSize;
          return sampleRow(data(logits).subarray(at, at + vocabSize), draw, uniforms[row]!);
        });
        this.draws++;
        this.mostRows = Math.max(this.mostRows, rows);
        this.#latest.set(
          stream,
          Int32Array.from(samples, ({ token }) => token),
        );
        return this.#arrive(samples);
      },
      close: () => void this.open.delete(stream),
    };
    this.open.add(stream);
    return stream;
  }

  /** The tokens that a step takes from a stream. */
  latestOf(stream: TokenStream): Int32Array {
    return this.#latest.get(stream)!;
  }

  async #arrive(samples: readonly DeviceSample[]): Promise<readonly DeviceSample[]> {
    this.mostInFlight = Math.max(this.mostInFlight, ++this.inFlight);
    const done = this.#ops.wait().then(
      () => null,
      (error: unknown) => error,
    );
    await new Promise((resolve) => setTimeout(resolve, 1));
    this.inFlight--;
    const error = await done;
    if (error) throw error;
    return samples;
  }
}

function sampleRow(scores: Float32Array, draw: Draw, uniform: number): DeviceSample {
  const bad = scores.findIndex((score) => !Number.isFinite(score));
  if (bad >= 0) return { token: 0, logprob: Number.NaN, notFinite: { token: bad, value: scores[bad]! } };
  const max = scores.reduce((a, b) => Math.max(a, b));
  const token = draw.temperature === 0 ? scores.indexOf(max) : drawToken(scores, max, draw, uniform);
  return { token, logprob: scores[token]! - logSumExp(scores, max) };
}

/** A model over the fake backend, and the backend itself to ask for faults. checkpoint: as for `LLM.load` */
export async function loadFake(
  options: FakeOptions = {},
  load: Omit<LoadOptions, "backend"> = {},
  checkpoint: string | FileSource = fakeCheckpoint(),
): Promise<{ readonly llm: LLM; readonly ops: FakeOps }> {
  const ops = new FakeOps(options);
  return { llm: await LLM.load(checkpoint, { ...load, backend: ops }), ops };
}
