/** @file Bytes of a sequence compared with f16, both as allocated. */
import { growingSequence, type KvSpec, type LLM, parseKvSpec } from "turboquant";
import { bytesOfSegments, type Sequence, segmentsOf } from "turboquant/cache";
import { CacheMemory, type PlannedModel } from "turboquant/plan";
import type { FormatFigures } from "./format-figures.ts";
import type { CacheState } from "./protocol.ts";

const F16 = parseKvSpec("f16");
/** Step of the search for the length at which a format begins to save: a 16-bit page has this many tokens. */
const GRID_TOKENS = 16;
/** A format that does not save by this length stores floats. */
const LAST_TOKENS = 2048;

export function cacheState(llm: LLM, sequence: Sequence, figures: FormatFigures): Omit<CacheState, "shelf"> {
  const inF16 = growingSequence(llm.config, F16)(sequence.length);
  const f16Layers = segmentsOf(inF16).map(bytesOfSegments);
  return {
    tokens: sequence.length,
    numBytes: sequence.numBytes,
    f16Bytes: inF16.numBytes,
    formats: figures.at(sequence.length),
    layers: segmentsOf(sequence).map((layer, i) => ({ ...layer, f16Bytes: f16Layers[i]! })),
  };
}

/** The first length, in steps of 16 tokens, from which on a cache in this format is smaller than in f16; null when it never is. */
export function savesFrom(model: PlannedModel, kv: KvSpec, contextLength: number): number | null {
  const [own, inF16] = [kv, F16].map((format) => new CacheMemory(model, format)) as [CacheMemory, CacheMemory];
  let first: number | null = null;
  for (let tokens = GRID_TOKENS; tokens <= Math.min(LAST_TOKENS, contextLength); tokens += GRID_TOKENS) {
    if (!(own.bytes(tokens) < inF16.bytes(tokens))) first = null;
    else first ??= tokens;
  }
  return first;
}
