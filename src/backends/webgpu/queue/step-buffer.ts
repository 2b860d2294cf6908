/**
 * @file The buffer `step`, which describes a step to its kernels, in words:
 *
 * rows [row][token, position, span, 0] · rows of spans that are decoded token by token · rows whose logits are needed · for
 * each layer [span][main table, residual table, first residual position, entries of the residual table] · block tables.
 *
 * Block tables stay on the device from step to step and only their changes are sent; otherwise the table of a million tokens
 * would be sent for every token.
 */
import type { BlockTable } from "../../../cache/block-table.ts";
import { DECODE_TOKENS } from "../../decode-tokens.ts";
import type { Step } from "../../ops.ts";
import { Struct } from "../../parameters/struct.ts";
import { tableRoom } from "./buffer-bytes.ts";
import type { BufferAllocator, GpuBuffer } from "./buffers.ts";
import type { Commands } from "./commands.ts";

const row = new Struct({ token: "u32", position: "u32", span: "u32", _aligned: { numBytes: 4 } });
/** Of a span in a layer. Tables are words of the step; the residual window's has so many entries. */
const spanRecord = new Struct({ table: "u32", residualTable: "u32", residualStart: "u32", residualEntries: "u32" });
const ROW = row.words;
const SPAN = spanRecord.words;

/** Words in a row, and in a span of a layer. */
export const ROW_WORDS = row.numBytes / 4;
export const SPAN_WORDS = spanRecord.numBytes / 4;

/** By these names kernels find the words of a row and of a span. */
export const STEP_VALUES = {
  ROW_WORDS,
  ROW_POSITION: ROW.position,
  ROW_SPAN: ROW.span,
  SPAN_WORDS,
  SPAN_TABLE: SPAN.table,
  SPAN_RESIDUAL_TABLE: SPAN.residualTable,
  SPAN_RESIDUAL_START: SPAN.residualStart,
  SPAN_RESIDUAL_ENTRIES: SPAN.residualEntries,
} as const;

const MIN_HEAD = 4096;
const MIN_TABLES = 16384;

/** Offsets within the buffer, in words. */
export interface StepLayout {
  readonly rowsAt: number;
  /** Rows of spans of up to DECODE_TOKENS tokens. */
  readonly decodeRowsAt: number;
  readonly decodeRows: number;
  readonly logitRowsAt: number;
  /** Span records of layer 0; those of the next layers follow. */
  readonly spansAt: number;
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
    const headWords = rows * (ROW_WORDS + 1) + step.logitRows.length + step.spans.length * layers * SPAN_WORDS;
    if (headWords > this.#head) this.#reset(headWords * 2, 0);
    if (!this.#place(step, layers)) {
      // The buffer is full of tables of released sequences, so it is rebuilt from those in use.
      this.#reset(this.#head, this.#tableWords(step, layers) * 2);
      this.#place(step, layers);
    }
    this.#layout = this.#writeHead(step, layers, headWords);
  }

  #writeHead(step: Step, layers: number, headWords: number): StepLayout {
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
    for (let layer = 0; layer < layers; layer++) {
      for (const { sequence } of step.spans) {
        const residual = sequence.residual(layer);
        words[at + SPAN.table] = this.#regions.get(sequence.main(layer))!.at;
        words[at + SPAN.residualTable] = this.#regions.get(residual)!.at;
        words[at + SPAN.residualStart] = sequence.residualStart(layer);
        words[at + SPAN.residualEntries] = residual.length;
        at += SPAN_WORDS;
      }
    }
    this.#commands.write(this.#buffer, 0, words.subarray(0, headWords));
    return { rowsAt: 0, decodeRowsAt, decodeRows, logitRowsAt, spansAt, numSpans: step.spans.length, longestDecode };
  }

  /** Brings the device's block tables up to date. false: there is no room */
  #place(step: Step, layers: number): boolean {
    for (const table of tablesOf(step, layers)) {
      let region = this.#regions.get(table);
      if (!region || region.capacity < table.length) {
        const capacity = tableRoom(table.length);
        if (this.#end + capacity > this.#words.length) return false;
        region = { at: this.#end, capacity, version: -1 };
        this.#end += capacity;
        this.#regions.set(table, region);
      }
      if (region.version !== table.version) this.#send(table.entries(), region.at, region.version < 0);
      region.version = table.version;
    }
    return true;
  }

  /** Writes the words from the first to the last one that differs. */
  #send(entries: Uint32Array, at: number, isNew: boolean): void {
    const words = this.#words;
    let from = 0;
    let to = entries.length;
    if (!isNew) {
      while (from < to && words[at + from] === entries[from]) from++;
      while (to > from && words[at + to - 1] === entries[to - 1]) to--;
    }
    if (from === to) return;
    words.set(entries.subarray(from, to), at + from);
    this.#commands.write(this.#buffer, (at + from) * 4, words.subarray(at + from, at + to));
  }

  #tableWords(step: Step, layers: number): number {
    let sum = 0;
    for (const table of tablesOf(step, layers)) sum += tableRoom(table.length);
    return sum;
  }

  /** Makes an empty buffer of at least these sizes. */
  #reset(head: number, tables: number): void {
    const size = head + Math.max(tables, this.#words.length - this.#head);
    this.#head = head;
    this.#end = head;
    this.#regions.clear();
    if (size === this.#words.length) return;
    this.#words = new Uint32Array(size);
    this.#allocator.free(this.#buffer);
    this.#buffer = this.#allocator.allocate(this.#words.byteLength, "step");
  }
}

function* tablesOf(step: Step, layers: number): Generator<BlockTable> {
  for (const { sequence } of step.spans) {
    for (let layer = 0; layer < layers; layer++) {
      yield sequence.main(layer);
      yield sequence.residual(layer);
    }
  }
}
