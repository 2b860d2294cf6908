/** @file Names of prompts by whole pages: the hash of a page includes the hash of everything before it. */
import { sha256Hex } from "../../formats/sha256.ts";
import { PAGE_TOKENS } from "../../quant/page-layout.ts";

/** The hash of no tokens at all. */
export const ROOT_HASH = "";

/**
 * Hash of each full page of `tokens`, chained: equal hashes mean equal tokens from the beginning on, since SHA-256 has no
 * known collisions. `known` are hashes of the first pages, made before.
 */
export function pageHashes(tokens: ArrayLike<number>, known: readonly string[] = []): string[] {
  const pages = Math.floor(tokens.length / PAGE_TOKENS);
  const hashes = known.slice(0, pages);
  const page = new Int32Array(PAGE_TOKENS);
  const bytes = new Uint8Array(page.buffer);
  const encoder = new TextEncoder();
  for (let index = hashes.length; index < pages; index++) {
    for (let i = 0; i < PAGE_TOKENS; i++) page[i] = tokens[index * PAGE_TOKENS + i]!;
    hashes.push(sha256Hex([encoder.encode(hashes.at(-1) ?? ROOT_HASH), bytes]));
  }
  return hashes;
}
