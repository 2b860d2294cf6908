/** @file Saves a sequence as one file and restores it (docs/formats/kv-snapshot.md). */
import { TurboQuantError } from "../errors.ts";
import { crc32c } from "../math/crc32c.ts";
import type { CacheParts } from "./cache-parts.ts";
import type { KvCache } from "./kv-cache.ts";
import { Sequence } from "./sequence.ts";
import {
  CHECKSUM_BYTES,
  decodeHead,
  encodeChecksum,
  encodeHead,
  invalidSnapshot,
  type SnapshotHeader,
  type SnapshotIdentity,
} from "./snapshot-header.ts";
import type { LayerState } from "./states/layer-state.ts";
import type { TakePage } from "./states/state-slot.ts";

export { SNAPSHOT_VERSION, type SnapshotHeader, type SnapshotIdentity } from "./snapshot-header.ts";

export interface SaveOptions extends SnapshotIdentity {
  /** Tokens of the conversation from position 0; may be more than `sequence.length`. None by default. */
  readonly tokens?: readonly number[];
}

/**
 * Yields the file piece by piece, so that it can be written without being held in memory. A fork is saved, so the sequence may go
 * on meanwhile. The first piece contains the length of the whole file (u64 at offset 8).
 * @throws TurboQuantError invalid_argument — fewer tokens than the sequence has positions
 */
export async function* snapshotParts(sequence: Sequence, options: SaveOptions): AsyncGenerator<Uint8Array, void> {
  const { fingerprint, kvSpec, tokens = [] } = options;
  if (tokens.length > 0 && tokens.length < sequence.length) {
    throw new TurboQuantError(
      "invalid_argument",
      `snapshot: expected the ${sequence.length} tokens of the sequence or none, got ${tokens.length}`,
      { tokens: tokens.length, length: sequence.length },
    );
  }
  const frozen = sequence.forkCommitted();
  try {
    const layers = frozen.states.map((state) => state.describe());
    const header: SnapshotHeader = {
      ...{ fingerprint, kvSpec, length: frozen.length, numTokens: tokens.length },
      ...(frozen.ropeLength !== 0 && { ropeLength: frozen.ropeLength }),
      layers,
    };
    const pages = frozen.states.flatMap((state) => [...state.savedPages()]);
    const head = encodeHead(
      header,
      tokens,
      pages.reduce((sum, page) => sum + page.numBytes, 0),
    );
    let crc = crc32c(head);
    yield head;
    for (const { pool, address, numBytes, blank } of pages) {
      const bytes = await pool.storage.read(address, numBytes);
      blank(bytes);
      crc = crc32c(bytes, crc);
      yield bytes;
    }
    yield encodeChecksum(crc);
  } finally {
    frozen.release();
  }
}

/** The pieces of `snapshotParts` joined in one array. */
export async function saveSequence(sequence: Sequence, options: SaveOptions): Promise<Uint8Array> {
  let file = new Uint8Array(0);
  let at = 0;
  for await (const part of snapshotParts(sequence, options)) {
    if (at === 0) file = allocateFile(Number(new DataView(part.buffer).getBigUint64(8, true)));
    file.set(part, at);
    at += part.length;
  }
  return file;
}

function allocateFile(numBytes: number): Uint8Array<ArrayBuffer> {
  try {
    return new Uint8Array(numBytes);
  } catch (cause) {
    throw new TurboQuantError(
      "out_of_memory",
      `snapshot: ${numBytes} bytes do not fit one array; write the pieces of snapshotParts to a file instead`,
      { numBytes },
      { cause },
    );
  }
}

/**
 * Reads the header of a snapshot after checking its checksum.
 * @throws TurboQuantError invalid_file — not a snapshot, another version, truncated, damaged
 */
export function readSnapshotHeader(bytes: Uint8Array): SnapshotHeader {
  return decodeHead(bytes).header;
}

/**
 * Rebuilds a sequence in `cache` from the bytes of `saveSequence`. Does
 * not retain `bytes`. When it throws, all its pages have been released.
 * @throws TurboQuantError invalid_file — damaged, or of another model or format; out_of_memory — no room
 */
export function restoreSequence(
  cache: KvCache,
  bytes: Uint8Array,
  expected: SnapshotIdentity,
): { sequence: Sequence; tokens: number[] } {
  const { header, tokensAt } = decodeHead(bytes);
  refuseMismatch(cache, header, expected);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const tokens = Array.from({ length: header.numTokens }, (_, i) => view.getInt32(tokensAt + 4 * i, true));
  cache.pool.require(bytes.length - CHECKSUM_BYTES - tokensAt - 4 * header.numTokens);
  let at = tokensAt + 4 * header.numTokens;
  const sequence = restorePages(cache, header, (_, numBytes) => {
    at += numBytes;
    return bytes.subarray(at - numBytes, at);
  });
  return { sequence, tokens };
}

/**
 * Rebuilds a sequence from a header that fits the cache (`refuseMismatch`) and pages in the order in which a snapshot stores them.
 *
 * next: the bytes of the next page of a state (`KvCache.slots`); sealed: see `TakePage`. When it throws, all pages have been released
 */
export function restorePages(
  cache: CacheParts,
  header: SnapshotHeader,
  next: (slot: number, numBytes: number, sealed?: number) => Uint8Array,
): Sequence {
  const states: LayerState[] = [];
  try {
    for (const [i, slot] of cache.slots.entries()) {
      const take: TakePage = (pool, numBytes, group, sealed) => {
        const bytes = next(i, numBytes, sealed);
        const address = pool.allocate(numBytes, group);
        pool.storage.write(address, bytes);
        return address;
      };
      states.push(slot.restore(header.layers[i]!, header.length, take));
    }
  } catch (error) {
    for (const state of states) state.release();
    throw error;
  }
  return new Sequence(cache, states, header.length, header.ropeLength);
}

/**
 * Refuses a sound header that belongs to another model, format or build.
 * @throws TurboQuantError invalid_file
 */
export function refuseMismatch(cache: CacheParts, header: SnapshotHeader, expected: SnapshotIdentity): void {
  if (header.fingerprint !== expected.fingerprint) {
    throw invalidSnapshot(
      `it belongs to another model: expected fingerprint ${expected.fingerprint}, got ${header.fingerprint}; ` +
        "load the model it was saved with",
      { fingerprint: header.fingerprint, expected: expected.fingerprint },
    );
  }
  if (header.kvSpec !== expected.kvSpec) {
    throw invalidSnapshot(
      `it has another KV format: expected ${expected.kvSpec}, got ${header.kvSpec}; load the model with --kv ${header.kvSpec}`,
      { kvSpec: header.kvSpec, expected: expected.kvSpec },
    );
  }
  if (header.layers.length !== cache.slots.length) {
    throw invalidSnapshot(
      `expected ${cache.slots.length} layers, got ${header.layers.length}; load the model it was saved with`,
      { layers: header.layers.length, expected: cache.slots.length },
    );
  }
  if (header.numTokens > 0 && header.numTokens < header.length) {
    throw invalidSnapshot(
      `expected at least ${header.length} tokens, got ${header.numTokens}; save it again with this build`,
    );
  }
  for (const [i, slot] of cache.slots.entries()) {
    const wrong = slot.mismatch(header.layers[i]!, header.length);
    if (!wrong) continue;
    const { name, want, got } = wrong;
    throw invalidSnapshot(`layer ${i}: expected ${name} ${want}, got ${got}; save it again with this model and build`, {
      layer: i,
      name,
      got,
      expected: want,
    });
  }
}
