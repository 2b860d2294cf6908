/**
 * @file What comes and goes in the prefix cache as vLLM's KV cache events: the objects that a publisher packs.
 *
 * A batch is an array [time, events, rank]. An event is a map with its kind as `type`, as vLLM writes it since 0.24, or an array that begins
 * with its kind, as vLLM wrote it before.
 */
import type { PageEvent } from "../engine/scheduler/kept-pages.ts";
import { PAGE_TOKENS } from "../quant/page-layout.ts";

export const KV_EVENT_FORMATS = ["map", "array"] as const;
export type KvEventFormat = (typeof KV_EVENT_FORMATS)[number];

/** vLLM's word for the memory that attention reads, on CPUs too. */
const MEDIUM = "GPU";

/** The number by which events name a page: the last 64 bits of its chained hash. Whole numbers of 64 bits need `bigint`. */
const blockHash = (hash: string): bigint => BigInt(`0x${hash.slice(-16)}`);

/** The events that follow each other, with neighbours joined: pages of one prompt that were stored one by one are one event. */
export function joinEvents(events: readonly PageEvent[]): PageEvent[] {
  const joined: PageEvent[] = [];
  for (const event of events) {
    const last = joined.at(-1);
    if (event.kind === "stored" && last?.kind === "stored" && last.hashes.at(-1) === event.parent) {
      const hashes = [...last.hashes, ...event.hashes];
      joined[joined.length - 1] = { ...last, hashes, tokens: [...last.tokens, ...event.tokens] };
    } else if (event.kind === "removed" && last?.kind === "removed") {
      joined[joined.length - 1] = { ...last, hashes: [...last.hashes, ...event.hashes] };
    } else joined.push(event);
  }
  return joined;
}

/** The event as it is packed. Fields that are absent from the map have vLLM's defaults. */
export function wireEvent(event: PageEvent, format: KvEventFormat): unknown {
  const fields = fieldsOf(event);
  return format === "map" ? fields : Object.values(fields);
}

/** In the order of the array. */
function fieldsOf(event: PageEvent): Record<string, unknown> {
  switch (event.kind) {
    case "stored":
      return {
        type: "BlockStored",
        block_hashes: event.hashes.map(blockHash),
        parent_block_hash: event.parent === null ? null : blockHash(event.parent),
        token_ids: event.tokens,
        block_size: PAGE_TOKENS,
        lora_id: null,
        medium: MEDIUM,
        lora_name: null,
      };
    case "removed":
      return { type: "BlockRemoved", block_hashes: event.hashes.map(blockHash), medium: MEDIUM };
    case "cleared":
      return { type: "AllBlocksCleared" };
  }
}
