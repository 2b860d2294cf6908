/** @file Where an append puts each row: pages and rows of codes, and of the copies of sinks and window. */
import type { KvState } from "../../cache/states/kv-state.ts";
import type { PageMove } from "../aged-pages.ts";
import type { AttentionLayer, Span } from "../ops.ts";
import { slot } from "../parameters/attention.ts";
import type { WasmMemory } from "./memory.ts";
import { ScratchBuffer } from "./scratch-buffer.ts";

const SLOT = slot.words;

export interface Slots {
  readonly address: number;
  /** Rows of earlier steps that get their codes in this one; their slots are behind those of the step's own rows. */
  readonly passed: number;
}

/** Rows of earlier steps that the window passes in this one. */
function passedRows({ sequence, start, count }: Span, layer: number): number {
  const state = sequence.kv(layer);
  return Math.max(0, Math.min(start, state.codedTokens(start + count)) - state.codedTokens(start));
}

export class KvSlots {
  readonly #memory: WasmMemory;
  readonly #room: ScratchBuffer;

  constructor(memory: WasmMemory) {
    this.#memory = memory;
    this.#room = new ScratchBuffer(memory);
  }

  /**
   * Writes a `slot` for each row of the spans, word by word because a prompt has as many as tokens, in each layer. Behind a window that stands alone
   * those rows have a page for codes that the window has passed at the end of the step, and slots of rows of earlier steps follow.
   */
  write(spans: readonly Span[], rows: number, layer: AttentionLayer): Slots {
    const isAlone = !layer.isShared && (layer.cache.residual?.isAlone ?? false);
    let passed = 0;
    if (isAlone) for (const span of spans) passed += passedRows(span, layer.index);
    const address = this.#room.ensure((rows + passed) * slot.numBytes);
    let next = rows;
    for (const span of spans) {
      const { sequence, start, count, row } = span;
      const state = sequence.kv(layer.index);
      const codedEnd = isAlone ? state.codedTokens(start + count) : start + count;
      for (let n = 0; n < count; n++) this.#writeSlot(address, row + n, state, start + n, start + n < codedEnd);
      if (!isAlone) continue;
      const before = passedRows(span, layer.index);
      for (let n = 0; n < before; n++) this.#writeSlot(address, next++, state, state.codedTokens(start) + n, true);
    }
    return { address, passed };
  }

  /** Writes a `slot` for each row of pages that are coded anew: where it goes, and where it is read. */
  writePages(moves: readonly PageMove[], pageTokens: number): Slots {
    const passed = moves.length * pageTokens;
    const address = this.#room.ensure(passed * slot.numBytes);
    const { u32 } = this.#memory;
    let at = address / 4;
    for (const { from, to } of moves) {
      for (let row = 0; row < pageTokens; row++, at += slot.numBytes / 4) {
        u32[at + SLOT.main] = to;
        u32[at + SLOT.mainRow] = row;
        u32[at + SLOT.residual] = from;
        u32[at + SLOT.residualRow] = row;
      }
    }
    return { address, passed };
  }

  #writeSlot(
    base: number,
    index: number,
    { layer, main, residual }: KvState,
    position: number,
    isCoded: boolean,
  ): void {
    const { u32 } = this.#memory;
    const at = (base + index * slot.numBytes) / 4;
    const { pageTokens } = layer.main;
    const copyTokens = layer.residual?.layout.pageTokens ?? 1;
    const copy = layer.residual ? residual.get(Math.floor(position / copyTokens)) : 0;
    // What a sliding window has left before it could leave a longer residual one is not coded any more.
    const hasCodes = isCoded && (copy !== 0 || !layer.residual?.isAlone);
    u32[at + SLOT.main] = hasCodes ? main.get(Math.floor(position / pageTokens)) : 0;
    u32[at + SLOT.mainRow] = position % pageTokens;
    u32[at + SLOT.residual] = copy;
    u32[at + SLOT.residualRow] = position % copyTokens;
  }
}
