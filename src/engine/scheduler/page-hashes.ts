/** @file Identifies prompts by whole pages: the hash of a page covers all tokens before it too. */
import { sha256Hex } from "../../formats/sha256.ts";
import { PAGE_TOKENS } from "../../quant/page-layout.ts";

/** The hash before the first page, of prompts that anybody may share. */
export const ROOT_HASH = "";

/** The hash before the first page, of prompts that are shared among those alone who have this salt. */
export const saltedRoot = (salt: string): string =>
  salt === "" ? ROOT_HASH : sha256Hex([new TextEncoder().encode(`salt:${salt}`)]);

/**
 * The chained hash of each full page of `tokens`. Equal hashes mean equal
 * tokens from the beginning on, since SHA-256 has no known collisions.
 *
 * known: hashes of the first pages, if they were computed before · root: `saltedRoot` of those who may share them
 */
export function pageHashes(
  tokens: ArrayLike<number>,
  known: readonly string[] = [],
  root: string = ROOT_HASH,
): string[] {
  const pages = Math.floor(tokens.length / PAGE_TOKENS);
  const hashes = known.slice(0, pages);
  const page = new Int32Array(PAGE_TOKENS);
  const bytes = new Uint8Array(page.buffer);
  const encoder = new TextEncoder();
  for (let index = hashes.length; index < pages; index++) {
    for (let i = 0; i < PAGE_TOKENS; i++) page[i] = tokens[index * PAGE_TOKENS + i]!;
    hashes.push(sha256Hex([encoder.encode(hashes.at(-1) ?? root), bytes]));
  }
  return hashes;
}
