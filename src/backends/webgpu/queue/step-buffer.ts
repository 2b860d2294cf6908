/**
 * @file The buffer `step`, which describes a step to its kernels, in words:
 *
 * rows [row][token, position, span, 0] · rows of spans that are decoded token by token · rows whose logits are needed · for
 * each layer [span][main table, residual table, first residual position, entries of the residual table, positions of the span] · for each coarser tier
 * of a layer the same again, with the tier's table for the main one · for each state of fixed size [span][rows of the span, pages of the states before it and after it] · block tables.
 *
 * Block tables stay on the device from step to step and only their changes are sent; otherwise the table of a million tokens
 * would be sent for every token.
 */
import type { BlockTable } from "../../../cache/block-table.ts";
import type { Sequence } from "../../../cache/sequence.ts";
import type { KvState } from "../../../cache/states/kv-state.ts";
import { assert } from "../../../errors.ts";
import { DECODE_TOKENS } from "../../decode-tokens.ts";
import type { Span, Step } from "../../ops.ts";
import { tableRoom } from "./buffer-bytes.ts";
import type { BufferAllocator, GpuBuffer } from "./buffers.ts";
import type { Commands } from "./commands.ts";
import { SLOT_MASK } from "./page-storage.ts";
import { ROW, ROW_WORDS, SPAN, SPAN_WORDS, STATE, STATE_WORDS } from "./step-records.ts";

const MIN_HEAD = 4096;
const MIN_TABLES = 16384;
/** So many unchanged words are written along rather than that a write of its own is made for what follows. */
const MAX_GAP = 256;

/** Offsets within the buffer, in words. */
export interface StepLayout {
  readonly rowsAt: number;
  /** Rows of spans of up to DECODE_TOKENS tokens. */
  readonly decodeRowsAt: number;
  readonly decodeRows: number;
  readonly logitRowsAt: number;
  /** Span records of layer 0; those of the next layers follow. */
  readonly spansAt: number;
  /** Where those of each layer's coarser tiers begin, one tier's behind the other's; none without tiers. */
  readonly tiersAt: readonly number[];
  /** Records of state 0; those of the next states follow. */
  readonly statesAt: number;
  readonly numSpans: number;
  /** The largest end of a span that is decoded token by token. */
  readonly longestDecode: number;
}

interface Region {
  readonly at: number;
  readonly capacity: number;
  version: number;
}

const EMPTY: StepLayout = {
  rowsAt: 0,
  decodeRowsAt: 0,
  decodeRows: 0,
  logitRowsAt: 0,
  spansAt: 0,
  tiersAt: [],
  statesAt: 0,
  numSpans: 0,
  longestDecode: 0,
};

export class StepBuffer {
  readonly #commands: Commands;
  readonly #allocator: BufferAllocator;
  /** The content of the buffer on the device, after the writes that are queued. */
  #words: Uint32Array<ArrayBuffer>;
  #buffer: GpuBuffer;
  #head = MIN_HEAD;
  #end = MIN_HEAD;
  #regions = new Map<BlockTable, Region>();
  /** Those of the latest step: its sequences, and by span and layer what they keep, their tables and where these lie. */
  #sequences: readonly Sequence[] = [];
  #states: readonly KvState[] = [];
  #tables: readonly BlockTable[] = [];
  /** The first of each state's tables among them: the main one, the residual one, and those of coarser tiers. */
  #firstTable: readonly number[] = [];
  #placed: (Region | undefined)[] = [];
  /** Words that have changed and are still to be sent, none when the two are equal. */
  readonly #changed = { from: 0, to: 0 };
  #layout: StepLayout = EMPTY;

  constructor(commands: Commands, allocator: BufferAllocator) {
    this.#commands = commands;
    this.#allocator = allocator;
    this.#words = new Uint32Array(MIN_HEAD + MIN_TABLES);
    this.#buffer = allocator.allocate(this.#words.byteLength, "step");
  }

  get buffer(): GpuBuffer {
    return this.#buffer;
  }

  /** Offsets for the step that was begun last. */
  get layout(): StepLayout {
    return this.#layout;
  }

  /** Sends a step to the device, for the operations of all its layers. */
  begin(step: Step): void {
    const layers = step.spans[0]?.sequence.cache.layers.length ?? 0;
    const rows = step.tokens.length;
    const states = step.spans[0]?.sequence.numRecurrent ?? 0;
    const tiers = step.spans[0]?.sequence.cache.layers.reduce((sum, layer) => sum + layer.tiers.length, 0) ?? 0;
    const perSpan = (layers + tiers) * SPAN_WORDS + states * STATE_WORDS;
    const headWords = rows * (ROW_WORDS + 1) + step.logitRows.length + step.spans.length * perSpan;
    if (headWords > this.#head) this.#reset(headWords * 2, 0);
    if (!this.#place(step, layers)) {
      // The buffer is full of tables of released sequences, so it is rebuilt from those in use.
      this.#reset(this.#head, this.#tableWords() * 2);
      this.#place(step, layers);
    }
    this.#layout = this.#writeHead(step, layers, tiers, headWords);
  }

  #writeHead(step: Step, layers: number, tiers: number, headWords: number): StepLayout {
    const words = this.#words;
    const rows = step.tokens.length;
    for (let row = 0; row < rows; row++) {
      const at = row * ROW_WORDS;
      words[at + ROW.token] = step.tokens[row]!;
      words[at + ROW.position] = step.positions[row]!;
    }
    const decodeRowsAt = rows * ROW_WORDS;
    const logitRowsAt = decodeRowsAt + rows;
    const spansAt = logitRowsAt + step.logitRows.length;
    let decodeRows = 0;
    let longestDecode = 0;
    for (const [index, span] of step.spans.entries()) {
      for (let n = 0; n < span.count; n++) words[(span.row + n) * ROW_WORDS + ROW.span] = index;
      if (span.count > DECODE_TOKENS) continue;
      for (let n = 0; n < span.count; n++) words[decodeRowsAt + decodeRows++] = span.row + n;
      longestDecode = Math.max(longestDecode, span.start + span.count);
    }
    words.set(step.logitRows, logitRowsAt);
    let at = spansAt;
    /** The records of a layer, or of a coarser tier of it. */
    const writeLayer = (layer: number, tier: number): void => {
      for (let i = layer; i < this.#states.length; i += layers) {
        this.#writeSpan(step.spans[(i - layer) / layers]!, i, tier, at);
        at += SPAN_WORDS;
      }
    };
    for (let layer = 0; layer < layers; layer++) writeLayer(layer, 0);
    const tiersAt: number[] = [];
    for (let layer = 0; tiers > 0 && layer < layers; layer++) {
      tiersAt.push(at);
      for (let tier = 1; tier <= this.#states[layer]!.tiers.length; tier++) writeLayer(layer, tier);
    }
    const statesAt = at;
    const states = step.spans[0]?.sequence.numRecurrent ?? 0;
    for (let state = 0; state < states; state++) {
      for (const span of step.spans) {
        this.#writeState(span, state, at);
        at += STATE_WORDS;
      }
    }
    this.#commands.write(this.#buffer, 0, words.subarray(0, headWords));
    const numSpans = step.spans.length;
    return { rowsAt: 0, decodeRowsAt, decodeRows, logitRowsAt, spansAt, tiersAt, statesAt, numSpans, longestDecode };
  }

  /** tier: 0 for the finest */
  #writeSpan({ start, count }: Span, state: number, tier: number, at: number): void {
    const words = this.#words;
    const kv = this.#states[state]!;
    const { residual, residualStart, tiers } = kv;
    const first = this.#firstTable[state]!;
    words[at + SPAN.table] = this.#placed[tier === 0 ? first : first + 1 + tier]!.at;
    words[at + SPAN.residualTable] = this.#placed[first + 1]!.at;
    words[at + SPAN.residualStart] = residualStart;
    words[at + SPAN.residualEntries] = residual.length;
    words[at + SPAN.start] = start;
    words[at + SPAN.end] = start + count;
    words[at + SPAN.coarserPages] = tier < tiers.length ? kv.tierPages(tier, 0) : 0;
    words[at + SPAN.ownPages] = tier > 0 ? kv.tierPages(tier - 1, 0) : 0;
  }

  #writeState({ sequence, start, count, row }: Span, index: number, at: number): void {
    const words = this.#words;
    const state = sequence.recurrent(index);
    // A warm-up step has no pages, and what it dispatches is not queued.
    const before = this.#commands.isWarmingUp ? 0 : state.at(start);
    const targets = state.targets(start, start + count);
    assert(targets.length <= 2, `${targets.length} states of a span`);
    const [first, second] = targets;
    words[at + STATE.row] = row;
    words[at + STATE.count] = count;
    words[at + STATE.before] = before ? (before & SLOT_MASK) + 1 : 0;
    words[at + STATE.firstEnd] = first ? first[0] - start : 0;
    words[at + STATE.first] = first ? first[1] & SLOT_MASK : 0;
    words[at + STATE.secondEnd] = second ? second[0] - start : 0;
    words[at + STATE.second] = second ? second[1] & SLOT_MASK : 0;
  }

  /** Word of the first span's record of a layer, or of a coarser tier of it, in the step that was begun last. */
  spansOf(layer: number, tier = 0): number {
    const { spansAt, tiersAt, numSpans } = this.#layout;
    const [from, place] = tier === 0 ? [spansAt, layer] : [tiersAt[layer]!, tier - 1];
    return from + place * numSpans * SPAN_WORDS;
  }

  /** Word of the first span's record of a state, in the step that was begun last. */
  stateAt(index: number): number {
    return this.#layout.statesAt + index * this.#layout.numSpans * STATE_WORDS;
  }

  /** Brings the device's block tables up to date. false: there is no room */
  #place(step: Step, layers: number): boolean {
    this.#find(step, layers);
    for (let i = 0; i < this.#tables.length; i++) {
      const table = this.#tables[i]!;
      let region = this.#placed[i];
      if (!region || region.capacity < table.length) {
        const capacity = tableRoom(table.length);
        if (this.#end + capacity > this.#words.length) return false;
        region = { at: this.#end, capacity, version: -1 };
        this.#end += capacity;
        this.#regions.set(table, region);
        this.#placed[i] = region;
      }
      if (region.version !== table.version) this.#take(table.entries(), region.at, region.version < 0);
      region.version = table.version;
    }
    this.#send();
    return true;
  }

  /** Finds the tables of a step's sequences. Steps that decode have those of the step before. */
  #find({ spans }: Step, layers: number): void {
    const known = this.#sequences;
    if (known.length === spans.length && spans.every(({ sequence }, i) => known[i] === sequence)) return;
    this.#sequences = spans.map(({ sequence }) => sequence);
    this.#states = this.#sequences.flatMap((sequence) =>
      Array.from({ length: layers }, (_, layer) => sequence.kv(layer)),
    );
    let tables = 0;
    this.#firstTable = this.#states.map(({ tiers }) => (tables += 2 + tiers.length) - 2 - tiers.length);
    this.#tables = this.#states.flatMap(({ main, residual, tiers }) => [main, residual, ...tiers]);
    this.#placed = this.#tables.map((table) => this.#regions.get(table));
  }

  /** Notes the words from the first to the last one that differs for the next write. */
  #take(entries: Uint32Array, at: number, isNew: boolean): void {
    const words = this.#words;
    let from = 0;
    let to = entries.length;
    if (!isNew) {
      while (from < to && words[at + from] === entries[from]) from++;
      while (to > from && words[at + to - 1] === entries[to - 1]) to--;
    }
    if (from === to) return;
    words.set(entries.subarray(from, to), at + from);
    if (at + from < this.#changed.from || at + from > this.#changed.to + MAX_GAP) {
      this.#send();
      this.#changed.from = at + from;
    }
    this.#changed.to = Math.max(this.#changed.to, at + to);
  }

  /** Writes what has been noted. */
  #send(): void {
    const { from, to } = this.#changed;
    if (to > from) this.#commands.write(this.#buffer, from * 4, this.#words.subarray(from, to));
    this.#changed.from = 0;
    this.#changed.to = 0;
  }

  /** Words that the tables of the step need, which `#place` has found. */
  #tableWords(): number {
    return this.#tables.reduce((sum, table) => sum + tableRoom(table.length), 0);
  }

  /** Makes an empty buffer of at least these sizes. */
  #reset(head: number, tables: number): void {
    const size = head + Math.max(tables, this.#words.length - this.#head);
    this.#head = head;
    this.#end = head;
    this.#regions.clear();
    this.#sequences = [];
    this.#changed.from = 0;
    this.#changed.to = 0;
    if (size === this.#words.length) return;
    this.#words = new Uint32Array(size);
    this.#allocator.free(this.#buffer);
    this.#buffer = this.#allocator.allocate(this.#words.byteLength, "step");
  }
}
