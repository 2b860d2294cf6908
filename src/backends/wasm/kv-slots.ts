/** @file Where an append puts each row: pages and rows of codes, and of the copies of sinks and window. */
import type { KvState } from "../../cache/states/kv-state.ts";
import type { AttentionLayer, Span, Step } from "../ops.ts";
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

/** The first page that becomes old enough for a tier in this step, of those that a query can still reach, and one past the last. */
const agedFrom = ({ sequence, start }: Span, { index, cache: { main, reach } }: AttentionLayer, tier: number): number =>
  Math.max(sequence.kv(index).tierPages(tier, start), reach.firstPage(start, main.pageTokens));
const agedEnd = ({ sequence, start, count }: Span, { index }: AttentionLayer, tier: number): number =>
  sequence.kv(index).tierPages(tier, start + count);

export class KvSlots {
  readonly #memory: WasmMemory;
  readonly #room: ScratchBuffer;

  constructor(memory: WasmMemory) {
    this.#memory = memory;
    this.#room = new ScratchBuffer(memory);
  }

  /**
   * Writes a `slot` for each row, word by word because a prompt has as many as tokens, in each layer. Behind a window that stands alone
   * those rows have a page for codes that the window has passed at the end of the step, and slots of rows of earlier steps follow.
   */
  write(step: Step, layer: AttentionLayer): Slots {
    const rows = step.tokens.length;
    const isAlone = !layer.isShared && (layer.cache.residual?.isAlone ?? false);
    let passed = 0;
    if (isAlone) for (const span of step.spans) passed += passedRows(span, layer.index);
    const address = this.#room.ensure((rows + passed) * slot.numBytes);
    let next = rows;
    for (const span of step.spans) {
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

  /** Writes a `slot` for each row of the pages that become old enough for a coarser tier in this step: where it goes, and where it is read. */
  writeCoarser(step: Step, layer: AttentionLayer, tier: number): Slots {
    let pages = 0;
    for (const span of step.spans) pages += Math.max(0, agedEnd(span, layer, tier) - agedFrom(span, layer, tier));
    if (pages === 0) return { address: 0, passed: 0 };
    const { pageTokens } = layer.cache.main;
    const address = this.#room.ensure(pages * pageTokens * slot.numBytes);
    const { u32 } = this.#memory;
    let at = address / 4;
    for (const span of step.spans) {
      const state = span.sequence.kv(layer.index);
      const [to, from] = [state.tiers[tier]!, state.tiers[tier - 1] ?? state.main];
      for (let page = agedFrom(span, layer, tier); page < agedEnd(span, layer, tier); page++) {
        for (let row = 0; row < pageTokens; row++, at += slot.numBytes / 4) {
          u32[at + SLOT.main] = to.get(page);
          u32[at + SLOT.mainRow] = row;
          u32[at + SLOT.residual] = from.get(page);
          u32[at + SLOT.residualRow] = row;
        }
      }
    }
    return { address, passed: pages * pageTokens };
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
