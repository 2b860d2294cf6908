/** @file The choice of tokens that attention is over, on the device: scores of an indexer, and the best of them in the order of positions. */
import { mainGroup, residualGroup } from "../../../cache/states/kv-state.ts";
import type { LayerCopies } from "../../../quant/prepared-layer.ts";
import type { AttentionLayer, Step, TokenBlocks } from "../../ops.ts";
import type { CentroidTables } from "../attention/centroid-tables.ts";
import type { BufferAllocator, GpuBuffer } from "../queue/buffers.ts";
import type { Commands } from "../queue/commands.ts";
import type { GpuPageStorage } from "../queue/page-storage.ts";
import type { StepBuffer } from "../queue/step-buffer.ts";
import { SPAN_WORDS } from "../queue/step-records.ts";
import type { ChosenOnDevice } from "./attend-chosen.ts";
import { type ChoiceKernels, type ChoiceShape, choiceKernels } from "./choice-kernels.ts";
import { type ListWords, listsTogether, listWords } from "./choice-plan.ts";
import { SCORE_THREADS, type ScoreKernel, scoreKernel } from "./score-kernel.ts";

/** Digits of the numbers that are chosen by. */
const DIGITS = 3;
const LEAST_BYTES = 1 << 16;

interface Prepared extends LayerCopies {
  readonly score: ScoreKernel;
  readonly choice: ChoiceKernels;
  readonly shape: ChoiceShape;
  readonly centroids: GpuBuffer;
}

/** What is chosen for rows that are taken together. */
interface Batch {
  readonly firstRow: number;
  readonly rows: number;
}

export class TokenChoice {
  readonly #commands: Commands;
  readonly #allocator: BufferAllocator;
  readonly #storage: GpuPageStorage;
  readonly #steps: StepBuffer;
  readonly #tables: CentroidTables;
  #scores: GpuBuffer;
  #tallies: GpuBuffer;
  #counts: GpuBuffer;

  constructor(
    commands: Commands,
    allocator: BufferAllocator,
    storage: GpuPageStorage,
    steps: StepBuffer,
    tables: CentroidTables,
  ) {
    this.#commands = commands;
    this.#allocator = allocator;
    this.#storage = storage;
    this.#steps = steps;
    this.#tables = tables;
    this.#scores = allocator.allocate(16, "scores of tokens");
    this.#tallies = allocator.allocate(16, "tallies of scores");
    this.#counts = allocator.allocate(16, "counts of chosen tokens");
  }

  /** See `Ops.chooseTokens`. by: factors of the heads, [rows][numHeads], or blocks */
  run(step: Step, layer: AttentionLayer, q: GpuBuffer, by: GpuBuffer | TokenBlocks, chosen: ChosenOnDevice): void {
    const blocks = "local" in by ? by : null;
    const { lists } = chosen;
    const prepared = layer.kv.copies(this, () => this.#prepare(layer, blocks, chosen));
    let longest = 1;
    for (const { start, count } of step.spans) longest = Math.max(longest, start + count);
    const words = listWords(longest, blocks?.size ?? 0);
    const together = listsTogether(words, lists) / lists;
    const factors = "local" in by ? null : by;
    // All tokens of short sequences are chosen, whatever their scores.
    const hasChoice = longest > chosen.count || this.#commands.isWarmingUp;
    for (let firstRow = 0; firstRow < step.tokens.length; firstRow += together) {
      const rows = Math.min(together, step.tokens.length - firstRow);
      const batch = { firstRow, rows };
      this.#scores = this.#room(this.#scores, rows * lists * (words.tokens + words.blocks));
      this.#tallies = this.#room(this.#tallies, rows * lists * words.tallies);
      this.#counts = this.#room(this.#counts, rows * lists * words.counts);
      if (hasChoice) this.#score(layer, prepared, q, factors, batch, longest, words.tokens);
      this.#choose(prepared, batch, chosen, words, blocks, hasChoice);
    }
  }

  #score(
    layer: AttentionLayer,
    { score, centroids }: Prepared,
    q: GpuBuffer,
    factors: GpuBuffer | null,
    { firstRow, rows }: Batch,
    longest: number,
    stride: number,
  ): void {
    const { rowsAt, spansAt, numSpans } = this.#steps.layout;
    const { main, residual } = layer.cache;
    const { window, sinks } = layer.kv.format;
    const own = spansAt + layer.index * numSpans * SPAN_WORDS;
    const pages = this.#storage.bufferOf(mainGroup(layer.index), main.numBytes);
    const residualPages = this.#storage.bufferOf(residualGroup(layer.index), residual?.layout.numBytes ?? 0);
    const buffers = [this.#steps.buffer, pages, pages, residualPages, q, centroids, this.#scores];
    this.#commands.dispatch(
      score,
      { rowsAt, spansAt: own, firstRow, stride, window, sinks },
      factors ? [...buffers, factors] : buffers,
      Math.ceil(longest / SCORE_THREADS),
      rows,
    );
  }

  #choose(
    { choice, shape }: Prepared,
    { firstRow, rows }: Batch,
    { positions, lists }: ChosenOnDevice,
    words: ListWords,
    blocks: TokenBlocks | null,
    hasChoice: boolean,
  ): void {
    const { rowsAt } = this.#steps.layout;
    const numLists = rows * lists;
    const candidatesAt = blocks ? numLists * words.tokens : 0;
    const stride = blocks ? words.blocks : words.tokens;
    const common = { ...shape, rowsAt, firstRow, candidatesAt, stride, countWords: words.counts };
    const [step, scores, tallies, counts] = [this.#steps.buffer, this.#scores, this.#tallies, this.#counts];
    if (hasChoice) {
      if (blocks) {
        const groups = words.worthGroups;
        const { size: blockSize, local } = blocks;
        const places = { stride: words.tokens, worthAt: candidatesAt, worthStride: stride, groups };
        const of = { rowsAt, firstRow, lists, blockSize, local, ...places };
        this.#commands.dispatch(choice.worth!, of, [step, scores], groups, numLists);
      }
      for (let digit = 0; digit < DIGITS; digit++) {
        const buffers = [step, scores, tallies];
        this.#commands.dispatch(choice.digits, { ...common, digit }, buffers, words.tiles, numLists);
      }
      const buffers = [step, scores, tallies, counts];
      this.#commands.dispatch(choice.counts, { ...common, digit: 0 }, buffers, words.tiles, numLists);
    }
    const buffers = [step, scores, tallies, counts, positions];
    this.#commands.dispatch(choice.positions, { ...common, digit: 0 }, buffers, words.tiles, numLists);
  }

  #prepare(layer: AttentionLayer, blocks: TokenBlocks | null, { count, lists }: ChosenOnDevice): Prepared {
    const tables = this.#tables.take(layer);
    const options = { layer, cache: layer.cache, ...tables.at };
    return {
      score: scoreKernel(this.#commands, options, blocks === null),
      choice: choiceKernels(this.#commands, blocks !== null),
      shape: { lists, count: blocks?.count ?? count, blockSize: blocks?.size ?? 1 },
      centroids: tables.buffer,
      dispose: () => tables.giveBack(),
    };
  }

  /** A buffer of so many words, in sizes that make a growing context allocate seldom. New ones are zero. */
  #room(buffer: GpuBuffer, words: number): GpuBuffer {
    if (buffer.numBytes >= words * 4) return buffer;
    this.#allocator.free(buffer);
    const numBytes = 2 ** Math.ceil(Math.log2(Math.max(LEAST_BYTES, words * 4)));
    return this.#allocator.allocate(numBytes, "choice of tokens");
  }
}
