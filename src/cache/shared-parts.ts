/**
 * @file A sequence at a page end, taken apart so that others which begin with the same tokens share the parts
 * (docs/formats/shared-pages.md).
 *
 * Pages of codes that no later token changes are sealed. What was sealed between two page ends is one part, equal in all sequences with
 * these tokens, however long they are. What a sequence has at one length alone (sinks, window, states of fixed size, codes that are not
 * sealed) is its end, another part. A sequence is rebuilt from one end and all sealed parts before it, bit for bit.
 */
import type { CacheParts } from "./cache-parts.ts";
import type { Sequence } from "./sequence.ts";
import { refuseMismatch, restorePages } from "./snapshot.ts";
import {
  invalidSnapshot,
  pagesBytes,
  parseHeader,
  type SnapshotHeader,
  type SnapshotIdentity,
} from "./snapshot-header.ts";
import type { SavedPage } from "./states/layer-state.ts";

/** A part before its pages are read. */
export interface SharedPart {
  /** Size of the part. */
  readonly numBytes: number;
  /** The part; the sequence must hold its pages until then. */
  read(): Promise<Uint8Array>;
}

/** Slot, index and bytes of a page (u32 each). */
const ENTRY_BYTES = 12;

/** The pages that were sealed by the tokens from `from` to the end of a sequence. */
export function sealedPart(sequence: Sequence, from: number): SharedPart {
  const slots: number[] = [];
  const pages: SavedPage[] = [];
  for (const [slot, state] of sequence.states.entries()) {
    // A state of fixed size is not known at every page end, and has nothing that is sealed.
    if (state.keepable(sequence.length) < sequence.length) continue;
    for (const page of state.savedPages()) {
      if (!page.sealed || page.sealed.since <= from) continue;
      slots.push(slot);
      pages.push(page);
    }
  }
  const head = new Uint8Array(4 + ENTRY_BYTES * pages.length);
  const view = new DataView(head.buffer);
  view.setUint32(0, pages.length, true);
  for (const [i, { sealed, numBytes }] of pages.entries()) {
    const at = 4 + ENTRY_BYTES * i;
    view.setUint32(at, slots[i]!, true);
    view.setUint32(at + 4, sealed!.index, true);
    view.setUint32(at + 8, numBytes, true);
  }
  return partOf(head, pages);
}

/** What a sequence has at its length alone, behind its description. */
export function endPart(sequence: Sequence, { fingerprint, kvSpec }: SnapshotIdentity): SharedPart {
  const header: SnapshotHeader = {
    ...{ fingerprint, kvSpec, length: sequence.length, numTokens: 0 },
    ...(sequence.ropeLength !== 0 && { ropeLength: sequence.ropeLength }),
    layers: sequence.states.map((state) => state.describe()),
  };
  const json = new TextEncoder().encode(JSON.stringify(header));
  const head = new Uint8Array(4 + json.length);
  new DataView(head.buffer).setUint32(0, json.length, true);
  head.set(json, 4);
  const pages = sequence.states.flatMap((state) => [...state.savedPages()].filter(({ sealed }) => !sealed));
  return partOf(head, pages);
}

function partOf(head: Uint8Array, pages: readonly SavedPage[]): SharedPart {
  const numBytes = pages.reduce((sum, page) => sum + page.numBytes, head.length);
  return {
    numBytes,
    async read() {
      const part = new Uint8Array(numBytes);
      part.set(head);
      let at = head.length;
      for (const page of pages) {
        const bytes = await page.pool.storage.read(page.address, page.numBytes);
        page.blank(bytes);
        part.set(bytes, at);
        at += page.numBytes;
      }
      return part;
    },
  };
}

/**
 * Rebuilds a sequence of `length` tokens from its end and the sealed parts of all its pages. Retains none of the bytes.
 * @throws TurboQuantError invalid_file — parts that are not those of such a sequence of this cache; out_of_memory — no room. Nothing is kept then
 */
export function restoreParts(
  cache: CacheParts,
  length: number,
  end: Uint8Array,
  sealed: readonly Uint8Array[],
  identity: SnapshotIdentity,
): Sequence {
  const { header, pagesAt } = readEnd(end);
  if (header.length !== length || header.numTokens !== 0) {
    throw invalidSnapshot(`expected a prefix of ${length} tokens, got one of ${header.length}`);
  }
  refuseMismatch(cache, header, identity);
  const pages = new Map<string, Uint8Array>();
  for (const part of sealed) readSealed(part, pages);
  cache.pool.require(pagesBytes(header));
  let at = pagesAt;
  const sequence = restorePages(cache, header, (slot, numBytes, index) => {
    let bytes: Uint8Array | undefined;
    if (index !== undefined) bytes = pages.get(`${slot} ${index}`);
    else {
      bytes = end.subarray(at, at + numBytes);
      at += numBytes;
    }
    if (bytes?.length === numBytes) return bytes;
    throw invalidSnapshot(`a page of state ${slot}: expected ${numBytes} bytes, got ${bytes?.length ?? "none"}`);
  });
  if (at === end.length) return sequence;
  sequence.release();
  throw invalidSnapshot("the end of a prefix does not describe its bytes");
}

function readEnd(end: Uint8Array): { readonly header: SnapshotHeader; readonly pagesAt: number } {
  const view = new DataView(end.buffer, end.byteOffset, end.byteLength);
  const pagesAt = end.length < 4 ? Number.POSITIVE_INFINITY : 4 + view.getUint32(0, true);
  const header = pagesAt <= end.length ? parseHeader(end.subarray(4, pagesAt)) : undefined;
  if (!header) throw invalidSnapshot("not the end of a prefix");
  return { header, pagesAt };
}

function readSealed(part: Uint8Array, into: Map<string, Uint8Array>): void {
  const view = new DataView(part.buffer, part.byteOffset, part.byteLength);
  const count = part.length < 4 ? 0 : view.getUint32(0, true);
  let at = 4 + ENTRY_BYTES * count;
  for (let i = 0; i < count && at <= part.length; i++) {
    const entry = 4 + ENTRY_BYTES * i;
    const numBytes = view.getUint32(entry + 8, true);
    into.set(`${view.getUint32(entry, true)} ${view.getUint32(entry + 4, true)}`, part.subarray(at, at + numBytes));
    at += numBytes;
  }
  if (at !== part.length) throw invalidSnapshot("a part of a prefix does not describe its bytes");
}
