/**
 * @file Draws tokens on the device: greedily, or from the up to 64 most likely ones with temperature, top-k, top-p and min-p,
 * in the same order and with the same random numbers as the host's sampler. It takes two dispatches in each step, and more for many rows that are drawn from candidates.
 *
 * A draw from more candidates would need the whole vocabulary sorted, so it is left to the host.
 */
import { assert } from "../../../errors.ts";
import type { Buf } from "../../ops.ts";
import { Struct } from "../../parameters/struct.ts";
import type { DeviceSample, DeviceSampling, Draw, TokenStream } from "../../sampling-ops.ts";
import { BufferUsage, MAP_READ } from "../device/gpu-flags.ts";
import { shaders } from "../generated/shaders.ts";
import { type BufferAllocator, bufferOf, GpuBuffer } from "../queue/buffers.ts";
import type { Commands } from "../queue/commands.ts";
import type { Kernel } from "../queue/kernel.ts";
import { shader, shaderText } from "../queue/shader-text.ts";

const THREADS = 256;
/** The most candidates of a draw, and the most logits (or candidates) that one thread holds. */
const MAX_KEEP = 64;
const MAX_ITEMS = 16;
/** As many as the server lets requests run together. */
const MAX_ROWS = 1024;
/** The most rows whose uniform numbers fit the parameters of a dispatch. */
const UNIFORM_ROWS = 48;
/** Words of a sample on the device; the first one is the token. */
export const SAMPLE_WORDS = 4;
const SAMPLE_BYTES = SAMPLE_WORDS * 4;
/** Kernels count tokens in 24 bits. */
const MAX_VOCAB = 2 ** 24 - 1;
/** With a lower temperature the result is practically greedy, and quotients would exceed the range of f32. */
const MIN_TEMPERATURE = 1e-4;

const partialParams = new Struct({
  vocab: "u32",
  keep: ["u32", "Candidates of a chunk, 0 when greedy."],
  firstRow: ["u32", "Row of the logits that becomes row 0."],
});

const finishParams = new Struct({
  uniforms: ["f32", UNIFORM_ROWS],
  vocab: "u32",
  chunks: ["u32", "Of a row."],
  firstRow: ["u32", "Row of the logits that becomes row 0."],
  rowsFrom: ["u32", "The first row of the dispatch, whose number is the first of `uniforms`."],
  keep: ["u32", "Candidates of a chunk, 0 when greedy: then nothing is read of the draw and its uniform numbers."],
  temperature: "f32",
  topP: "f32",
  minP: "f32",
});

/** The layout of the two dispatches for a draw. */
interface Plan {
  /** Number of candidates; 0 when greedy. */
  readonly keep: number;
  /** Logits that a thread of the first dispatch reads. */
  readonly items: number;
  /** Workgroups for each row. */
  readonly chunks: number;
}

/** null when the host has to draw: no top-k, one above 64, or a vocabulary that is too large. */
function planOf({ temperature, topK }: Draw, vocabSize: number): Plan | null {
  if (vocabSize > MAX_VOCAB) return null;
  const chunksOf = (items: number): number => Math.ceil(vocabSize / (THREADS * items));
  if (temperature === 0) return { keep: 0, items: 4, chunks: chunksOf(4) };
  const keep = Math.min(topK, vocabSize);
  if (keep === 0 || keep > MAX_KEEP || temperature < MIN_TEMPERATURE) return null;
  // The candidates of all chunks together should be at most the logits of one chunk, so that both dispatches have equal work.
  for (let items = 4; items <= MAX_ITEMS; items *= 2) {
    if (chunksOf(items) * keep <= THREADS * items) return { keep, items, chunks: chunksOf(items) };
  }
  return null;
}

/** Whether the device can draw like this: greedy, or top-k of 1 to 64 with any top-p and min-p. */
export function canSample(draw: Draw, vocabSize: number): boolean {
  return planOf(draw, vocabSize) !== null;
}

export class GpuSampling implements DeviceSampling {
  readonly maxRows = MAX_ROWS;
  readonly #commands: Commands;
  readonly #allocator: BufferAllocator;
  /** Results of the first dispatch for the second. Shared by all draws, since work is done in order. */
  #partials: GpuBuffer | null = null;
  #candidates: GpuBuffer | null = null;
  /** Buffers of closed streams, and staging buffers not in use. */
  readonly #idleTokens: GpuBuffer[] = [];
  readonly #idleStaging: GpuBuffer[] = [];
  readonly #staging: GpuBuffer[] = [];
  readonly #uniforms: number[] = new Array(UNIFORM_ROWS).fill(0);

  constructor(commands: Commands, allocator: BufferAllocator) {
    this.#commands = commands;
    this.#allocator = allocator;
  }

  createStream(draw: Draw, vocabSize: number): GpuTokenStream | null {
    const plan = planOf(draw, vocabSize);
    if (!plan) return null;
    const tokens = this.#idleTokens.pop() ?? this.#allocator.allocate(MAX_ROWS * SAMPLE_BYTES, "sampled tokens");
    return new GpuTokenStream(
      tokens,
      (logits, rows, uniforms, firstRow = 0) => {
        const buffer = bufferOf(logits, (firstRow + rows) * vocabSize, "sample");
        this.#queue(plan, draw, vocabSize, buffer, firstRow, rows, uniforms, tokens);
        return this.#read(tokens, rows);
      },
      () => this.#idleTokens.push(tokens),
    );
  }

  /** The allocator frees the storage buffers. */
  dispose(): void {
    for (const { raw } of this.#staging) raw.destroy();
  }

  #queue(
    plan: Plan,
    draw: Draw,
    vocabSize: number,
    logits: GpuBuffer,
    firstRow: number,
    rows: number,
    uniforms: readonly number[],
    tokens: GpuBuffer,
  ): void {
    const { keep, items, chunks } = plan;
    assert(rows > 0 && rows <= MAX_ROWS, `sample: ${rows} rows, expected 1 to ${MAX_ROWS}`);
    assert(keep === 0 || uniforms.length >= rows, `sample: ${uniforms.length} uniform numbers for ${rows} rows`);
    this.#partials = this.#ensure(this.#partials, rows * chunks * 16, "partial samples");
    const partials = this.#partials;
    const select = keep > 0 ? 1 : 0;
    if (select) this.#candidates = this.#ensure(this.#candidates, rows * chunks * keep * 8, "candidates");
    const candidates = select ? [this.#candidates!] : [];
    const partial = { vocab: vocabSize, keep, firstRow };
    this.#commands.dispatch(this.#partial(select, items), partial, [logits, partials, ...candidates], chunks, rows);
    let finishItems = 1;
    while (select && finishItems * THREADS < chunks * keep) finishItems *= 2;
    const finish = this.#finish(select, select ? finishItems : items);
    // A greedy choice reads no uniform numbers, so all its rows fit one dispatch.
    const most = select ? UNIFORM_ROWS : rows;
    for (let from = 0; from < rows; from += most) {
      const count = Math.min(most, rows - from);
      const params = {
        uniforms: this.#uniformsOf(select ? uniforms : [], from, count),
        vocab: vocabSize,
        chunks,
        firstRow,
        rowsFrom: from,
        keep,
        temperature: draw.temperature,
        topP: draw.topP,
        minP: draw.minP,
      };
      this.#commands.dispatch(finish, params, [logits, partials, tokens, ...candidates], count);
    }
  }

  /** The numbers of `count` rows from `from` on, zeros behind them: written anew for each step, nothing is allocated. */
  #uniformsOf(uniforms: readonly number[], from: number, count: number): readonly number[] {
    const numbers = this.#uniforms;
    for (let i = 0; i < UNIFORM_ROWS; i++) numbers[i] = i < count ? (uniforms[from + i] ?? 0) : 0;
    return numbers;
  }

  #partial(select: 0 | 1, items: number): Kernel<typeof partialParams> {
    const access = ["read", "write", "write"] as const;
    return this.#kernel("sample-partial", partialParams, select, items, access);
  }

  #finish(select: 0 | 1, items: number): Kernel<typeof finishParams> {
    const access = ["read", "read", "write", "read"] as const;
    return this.#kernel("sample-finish", finishParams, select, items, access);
  }

  /** access: of the buffers; the last holds candidates, which a greedy choice has none of */
  #kernel<P extends Struct>(
    name: "sample-partial" | "sample-finish",
    params: P,
    select: 0 | 1,
    items: number,
    access: readonly ("read" | "write")[],
  ): Kernel<P> {
    return this.#commands.kernel(`${name}/${select}/${items}`, () => {
      const conditions = { SELECT: select === 1, SUBGROUPS: select === 1 && this.#commands.context.features.subgroups };
      const insert = shaderText("sample-select", shaders["sample-select"], conditions);
      return {
        label: `${name}, ${select ? "top-k" : "greedy"}`,
        shader: shader(name, params, { ...conditions, ITEMS: items, MAX_KEEP, THREADS }, { SELECT: insert }),
        buffers: select ? access : access.slice(0, -1),
      };
    });
  }

  #ensure(buffer: GpuBuffer | null, numBytes: number, what: string): GpuBuffer {
    if (buffer && buffer.numBytes >= numBytes) return buffer;
    if (buffer) this.#allocator.free(buffer);
    return this.#allocator.allocate(numBytes, what);
  }

  /** Submits what is queued. The staging buffer stays with the caller until its tokens have arrived. */
  async #read(tokens: GpuBuffer, rows: number): Promise<DeviceSample[]> {
    const { context } = this.#commands;
    context.check();
    if (this.#commands.isWarmingUp) {
      if (this.#idleStaging.length === 0) this.#idleStaging.push(this.#createStaging());
      return [];
    }
    const staging = this.#idleStaging.pop() ?? this.#createStaging();
    this.#commands.copy(tokens, 0, staging, 0, rows * SAMPLE_BYTES);
    this.#commands.flush();
    await context.wait(staging.raw.mapAsync(MAP_READ, 0, rows * SAMPLE_BYTES));
    const words = new Uint32Array(staging.raw.getMappedRange(0, rows * SAMPLE_BYTES).slice(0));
    staging.raw.unmap();
    this.#idleStaging.push(staging);
    return Array.from({ length: rows }, (_, row) => decode(words, row * 4));
  }

  #createStaging(): GpuBuffer {
    const size = MAX_ROWS * SAMPLE_BYTES;
    const usage = BufferUsage.mapRead | BufferUsage.copyDst;
    const raw = this.#commands.context.createBuffer({ label: "tokens readback", size, usage });
    const buffer = new GpuBuffer(raw, size);
    this.#staging.push(buffer);
    return buffer;
  }
}

/** The tokens are in `tokens`, four words for each row of which the first is the token, where `embed` reads them. */
export class GpuTokenStream implements TokenStream {
  readonly tokens: GpuBuffer;
  readonly sample: TokenStream["sample"];
  readonly #onClose: () => void;
  #isClosed = false;

  constructor(
    tokens: GpuBuffer,
    sample: (logits: Buf, rows: number, uniforms: readonly number[], firstRow?: number) => Promise<DeviceSample[]>,
    onClose: () => void,
  ) {
    this.tokens = tokens;
    this.sample = sample;
    this.#onClose = onClose;
  }

  close(): void {
    if (!this.#isClosed) this.#onClose();
    this.#isClosed = true;
  }
}

function decode(words: Uint32Array, at: number): DeviceSample {
  const [token, bad] = [words[at]!, words[at + 1]!];
  const value = new Float32Array(words.buffer, (at + 2) * 4, 1)[0]!;
  if (bad === 0) return { token, logprob: value };
  return { token, logprob: Number.NaN, notFinite: { token: bad - 1, value } };
}
