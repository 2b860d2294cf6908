/** @file What the formats that the page offers would take: bytes at any length, and how far each reaches on this device. */
import { type LLM, parseKvSpec } from "turboquant";
import { CacheMemory, modelOfConfig } from "turboquant/plan";
import type { FormatBytes, FormatReach } from "./protocol.ts";

/** The formats that the page offers, from many bits to few. */
const OFFERED_FORMATS = ["f16", "k8v8", "k4v4", "k3v3", "k2v2"] as const;

export class FormatFigures {
  readonly #formats: readonly { readonly kv: string; readonly memory: CacheMemory }[];
  readonly #llm: LLM;

  constructor(llm: LLM) {
    this.#llm = llm;
    const { config, name, decoder } = llm;
    const model = modelOfConfig(config, name);
    const { text } = decoder.kv;
    const kvs = OFFERED_FORMATS.some((kv) => parseKvSpec(kv).text === text)
      ? OFFERED_FORMATS
      : [...OFFERED_FORMATS, text];
    this.#formats = kvs.flatMap((kv) => {
      try {
        return [{ kv, memory: new CacheMemory(model, parseKvSpec(kv)) }];
      } catch {
        // A format that this model's layers cannot have is not offered.
        return [];
      }
    });
  }

  /** Bytes of one conversation of `tokens` tokens in each format. */
  at(tokens: number): FormatBytes[] {
    return this.#formats.map(({ kv, memory }) => ({ kv, numBytes: tokens === 0 ? 0 : memory.bytes(tokens) }));
  }

  reaches(): FormatReach[] {
    const { maxPositionEmbeddings } = this.#llm.config;
    return this.#formats.map(({ kv, memory }) => ({
      kv,
      tokens: this.#llm.longestContext(kv),
      fullBytes: memory.bytes(maxPositionEmbeddings),
    }));
  }
}
