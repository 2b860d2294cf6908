/** @file Bytes of a sequence beside what f16 would take, both as allocated. */
import { allocatedBytes, type KvSpec, type LLM, parseKvSpec } from "turboquant";
import { type Sequence, segmentsOf } from "turboquant/cache";
import type { CacheState } from "./protocol.ts";

const F16 = parseKvSpec("f16");
/** Where a format begins to save is looked for on this grid: exact pages hold as many tokens. */
const GRID_TOKENS = 16;
/** A format that has not begun to save by then is one of floats. */
const LAST_TOKENS = 2048;

export function cacheState(llm: LLM, sequence: Sequence): Omit<CacheState, "shelf"> {
  return {
    tokens: sequence.length,
    numBytes: sequence.numBytes,
    f16Bytes: allocatedBytes(llm.config, F16, sequence.length),
    layers: segmentsOf(sequence),
  };
}

/** First length, rounded to 16 tokens, from which on a cache in this format is smaller than one in f16; null for none. */
export function savesFrom(config: LLM["config"], kv: KvSpec, contextLength: number): number | null {
  let first: number | null = null;
  for (let tokens = GRID_TOKENS; tokens <= Math.min(LAST_TOKENS, contextLength); tokens += GRID_TOKENS) {
    const saves = allocatedBytes(config, kv, tokens) < allocatedBytes(config, F16, tokens);
    if (!saves) first = null;
    else first ??= tokens;
  }
  return first;
}
