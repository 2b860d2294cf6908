/** @file A sequence of a transformer that is not ours: which layers have appended in a pass, and what is refused. */
import type { Step } from "../backends/ops.ts";
import type { GpuRows } from "../backends/outside-buffers.ts";
import type { Sequence } from "../cache/sequence.ts";
import { TurboQuantError } from "../errors.ts";

/** What a sequence needs of its cache. */
export interface LayerStore {
  readonly numLayers: number;
  readonly numHeads: number;
  readonly numKvHeads: number;
  readonly headDim: number;
  readonly valueDim: number;
  readonly maxTokens: number;
  /** qkv: [rows][numHeads·headDim zeros | k | v] */
  store(layer: number, step: Step, qkv: Float32Array): void;
  /** Keys and values in buffers of the device. The promise resolves when it has accepted them. */
  storeFrom(layer: number, step: Step, k: GpuRows, v: GpuRows): Promise<void>;
  /** q: [rows][numHeads][headDim] · returns: [rows][numHeads][valueDim] */
  ask(layer: number, step: Step, q: Float32Array): Promise<Float32Array>;
  /** As `ask`, of one buffer of the device and into another one. */
  askInto(layer: number, step: Step, q: GpuRows, out: GpuRows): Promise<void>;
  /**
   * How many values a buffer has.
   * @throws TurboQuantError invalid_argument — the cache is not on a GPU, or the buffer cannot be copied
   */
  lengthOf(rows: GpuRows, isWritten: boolean, what: string): number;
}

/** The tokens that a pass over the layers is appending. */
interface Pass {
  readonly step: Step;
  /** By layer: when the device has accepted its keys and values. */
  readonly stored: Map<number, Promise<void> | null>;
}

/** Numbers as arrays, or in buffers of the GPU. */
type Rows = ArrayLike<number> | GpuRows;

const isArray = (rows: Rows | undefined): rows is ArrayLike<number> =>
  typeof rows === "object" && rows !== null && "length" in rows;

/** Keys and values of one sequence, for as long as it is kept. */
export class CachedSequence {
  readonly #owner: LayerStore;
  readonly #sequence: Sequence;
  #pass: Pass | null = null;
  /** Why keys and values that were appended are not there. */
  #lost: Error | null = null;

  /** Made by `AttentionCache.createSequence`. */
  constructor(owner: LayerStore, sequence: Sequence) {
    this.#owner = owner;
    this.#sequence = sequence;
  }

  /** Tokens that all layers have, or that those of the pass at work are given. */
  get length(): number {
    return this.#sequence.length + (this.#pass?.step.tokens.length ?? 0);
  }

  /** Bytes of this sequence's pages; those that are shared with forks count in full. */
  get numBytes(): number {
    return this.#sequence.numBytes;
  }

  /**
   * Appends keys and values of one layer for the next tokens. The first layer of a pass says how many; each layer appends once a pass, in
   * any order.
   *
   * k: [tokens][numKvHeads][headDim], with norms and RoPE applied · v: [tokens][numKvHeads][valueDim]
   * @throws TurboQuantError invalid_argument — sizes that do not fit, a layer twice; out_of_memory — the sequence is as before
   */
  append(layer: number, k: ArrayLike<number>, v: ArrayLike<number>): void;
  /**
   * The same of buffers with the usage COPY_SRC. They are copied where they are, behind what you have submitted and before what you submit next.
   * A buffer that the device refuses (destroyed, or of another device) is an error of the layer's `attend` and of all that follows: `release` the sequence.
   */
  append(layer: number, k: GpuRows, v: GpuRows): void;
  append(layer: number, k: Rows, v: Rows): void {
    const { numLayers, numHeads, numKvHeads, headDim, valueDim, maxTokens } = this.#owner;
    const [keyWidth, valueWidth] = [numKvHeads * headDim, numKvHeads * valueDim];
    this.#check();
    if (!Number.isInteger(layer) || layer < 0 || layer >= numLayers)
      throw wrong(`layer: expected 0 to ${numLayers - 1}, got ${layer}`);
    if (isArray(k) !== isArray(v))
      throw wrong("append: expected keys and values both as arrays or both in buffers, got one of each");
    const [keys, values] = [this.#lengthOf(k, "append, k"), this.#lengthOf(v, "append, v")];
    const count = keys / keyWidth;
    if (!Number.isInteger(count) || count < 1 || values !== count * valueWidth) {
      throw wrong(
        `append: expected ${keyWidth} numbers of keys and ${valueWidth} of values a token, got ${keys} and ${values}${isArray(k) ? "" : PARTS}`,
      );
    }
    if (count > maxTokens)
      throw wrong(`append: expected at most ${maxTokens} tokens a pass, got ${count}; make several`);
    if (this.#pass?.stored.size === numLayers) this.#commit();
    if (this.#pass?.stored.has(layer)) {
      throw wrong(
        `append: layer ${layer} has these tokens already, and ${numLayers - this.#pass.stored.size} of ${numLayers} layers have not; append to each once a pass`,
      );
    }
    const pass = this.#pass ?? this.#begin(count);
    if (pass.step.tokens.length !== count) {
      throw wrong(`append: expected the ${pass.step.tokens.length} tokens of this pass's other layers, got ${count}`);
    }
    if (!isArray(k) || !isArray(v)) {
      const accepted = this.#owner.storeFrom(layer, pass.step, k as GpuRows, v as GpuRows);
      accepted.catch((error: Error) => {
        this.#lost ??= error;
      });
      pass.stored.set(layer, accepted);
      return;
    }
    const queryWidth = numHeads * headDim;
    const width = queryWidth + keyWidth + valueWidth;
    const qkv = new Float32Array(count * width);
    for (let row = 0; row < count; row++) {
      const at = row * width + queryWidth;
      for (let i = 0; i < keyWidth; i++) qkv[at + i] = k[row * keyWidth + i]!;
      for (let i = 0; i < valueWidth; i++) qkv[at + keyWidth + i] = v[row * valueWidth + i]!;
    }
    this.#owner.store(layer, pass.step, qkv);
    pass.stored.set(layer, null);
  }

  /**
   * What the tokens of this pass attend to in a layer, each up to itself; behind the layer's `append`.
   *
   * q: [tokens][numHeads][headDim], with norms and RoPE applied · returns: [tokens][numHeads][valueDim]
   * @throws TurboQuantError invalid_argument — the layer has not appended, or sizes do not fit
   */
  attend(layer: number, q: ArrayLike<number>): Promise<Float32Array>;
  /**
   * The same of a buffer with the usage COPY_SRC, written to one with COPY_DST: what you submit next reads it. The promise resolves when the device
   * has accepted the buffers; nothing is read back, and the next pass need not wait for it.
   */
  attend(layer: number, q: GpuRows, out: GpuRows): Promise<void>;
  async attend(layer: number, q: Rows, out?: Rows): Promise<unknown> {
    const { numHeads, headDim, valueDim } = this.#owner;
    this.#check();
    const pass = this.#pass;
    if (!pass?.stored.has(layer)) throw wrong(`attend: layer ${layer} has not appended in this pass; append first`);
    const count = pass.step.tokens.length;
    if (isArray(q) ? out !== undefined : out === undefined || isArray(out))
      throw wrong("attend: expected queries as an array, or queries and an output in buffers");
    const length = count * numHeads * headDim;
    const given = this.#lengthOf(q, "attend, q");
    if (given !== length) {
      throw wrong(`attend: expected ${length} numbers, of ${count} tokens, got ${given}${isArray(q) ? "" : PARTS}`);
    }
    if (isArray(q)) return this.#owner.ask(layer, pass.step, q instanceof Float32Array ? q : Float32Array.from(q));
    const room = this.#owner.lengthOf(out as GpuRows, true, "attend, out");
    if (room !== count * numHeads * valueDim)
      throw wrong(
        `attend: expected room for ${count * numHeads * valueDim} numbers, of ${count} tokens, got ${room}${PARTS}`,
      );
    await Promise.all([pass.stored.get(layer), this.#owner.askInto(layer, pass.step, q, out as GpuRows)]);
  }

  /** A second sequence with the same tokens; pages are shared until one of the two writes. Between passes. */
  fork(): CachedSequence {
    this.#finish("fork");
    return new CachedSequence(this.#owner, this.#sequence.fork());
  }

  /**
   * Drops the tokens from position `length` on, and as many before it as an exact result takes (`Sequence.cutTo`), which are to be
   * appended again. Between passes.
   *
   * returns: number of tokens left
   */
  cutTo(length: number): number {
    this.#finish("cutTo");
    return this.#sequence.cutTo(length);
  }

  /** Gives the pages back. */
  release(): void {
    this.#pass = null;
    this.#sequence.release();
  }

  #begin(count: number): Pass {
    const { length } = this.#sequence;
    this.#sequence.reserve(count);
    const step: Step = {
      tokens: new Int32Array(count),
      positions: Int32Array.from({ length: count }, (_, i) => length + i),
      spans: [{ sequence: this.#sequence, start: length, count, row: 0 }],
      logitRows: new Int32Array(0),
    };
    this.#pass = { step, stored: new Map() };
    return this.#pass;
  }

  #commit(): void {
    this.#sequence.commit(this.#pass!.step.tokens.length);
    this.#pass = null;
  }

  /** @throws the error of keys or values that the device has refused */
  #check(): void {
    if (this.#lost)
      throw wrong(
        `keys or values of this sequence are missing; release it and append its tokens again (${this.#lost.message})`,
      );
  }

  #lengthOf(rows: Rows, what: string): number {
    return isArray(rows) ? rows.length : this.#owner.lengthOf(rows, false, what);
  }

  #finish(what: string): void {
    this.#check();
    if (this.#pass && this.#pass.stored.size < this.#owner.numLayers) {
      throw wrong(
        `${what}: ${this.#pass.stored.size} of ${this.#owner.numLayers} layers have appended; end the pass first`,
      );
    }
    if (this.#pass) this.#commit();
  }
}

/** How a part of a buffer is named, behind messages about its size. */
const PARTS = "; { buffer, offset, size } is a part of a buffer";

const wrong = (message: string): TurboQuantError =>
  new TurboQuantError("invalid_argument", `attention cache: ${message}`);
