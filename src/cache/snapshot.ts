/** @file A sequence as one file, byte for byte (docs/formats/kv-snapshot.md). */
import { TurboQuantError } from "../errors.ts";
import { crc32c } from "../math/crc32c.ts";
import type { BlockTable } from "./block-table.ts";
import type { KvCache } from "./kv-cache.ts";
import type { Sequence } from "./sequence.ts";

/** "TQKV" */
const MAGIC = 0x564b5154;
export const SNAPSHOT_VERSION = 1;
/** magic, version, header length, CRC of everything after the preamble */
const PREAMBLE_BYTES = 16;
/** A header holds a few numbers a layer; more is not one of ours. */
const MAX_HEADER_BYTES = 1 << 20;

export interface SnapshotIdentity {
  /** Of the weights: another model's cache is meaningless. */
  readonly fingerprint: string;
  /** Canonical text of the KV format. */
  readonly kvSpec: string;
}

export interface SnapshotHeader extends SnapshotIdentity {
  /** Tokens in the cache. */
  readonly length: number;
  /** Tokens of the conversation; may be one more than the cache holds. */
  readonly numTokens: number;
  readonly layers: readonly SnapshotLayer[];
}

interface SnapshotLayer {
  readonly numKvHeads: number;
  readonly headDim: number;
  /** Bytes of a page of each stream; 0 when the layer has no exact stream. */
  readonly mainPageBytes: number;
  readonly exactPageBytes: number;
  readonly exactStart: number;
  /** Indices of the exact pages that are present. */
  readonly exactPages: readonly number[];
}

function invalid(message: string, detail: Record<string, unknown> = {}): TurboQuantError {
  return new TurboQuantError("invalid_file", `snapshot: ${message}`, detail);
}

/** Page indices of a table that are present. */
function present(table: BlockTable): number[] {
  return Array.from(table.entries().keys()).filter((index) => table.get(index) !== 0);
}

function layerOf(sequence: Sequence, layer: number): SnapshotLayer {
  const { main, exact } = sequence.cache.layers[layer]!;
  return {
    numKvHeads: main.numKvHeads,
    headDim: main.headDim,
    mainPageBytes: main.numBytes,
    exactPageBytes: exact?.numBytes ?? 0,
    exactStart: sequence.exactStart(layer),
    exactPages: exact ? present(sequence.exact(layer)) : [],
  };
}

/** Writes the sequence and the tokens it stands for. */
export async function saveSequence(
  sequence: Sequence,
  identity: SnapshotIdentity & { readonly tokens: readonly number[] },
): Promise<Uint8Array> {
  const { fingerprint, kvSpec, tokens } = identity;
  const layers = sequence.cache.layers.map((_, layer) => layerOf(sequence, layer));
  const header: SnapshotHeader = { fingerprint, kvSpec, length: sequence.length, numTokens: tokens.length, layers };
  const headerBytes = new TextEncoder().encode(JSON.stringify(header));
  const mainPages = layers.map((_, layer) => present(sequence.main(layer)));
  let size = PREAMBLE_BYTES + headerBytes.length + 4 * tokens.length;
  layers.forEach((l, i) => {
    size += mainPages[i]!.length * l.mainPageBytes + l.exactPages.length * l.exactPageBytes;
  });
  const bytes = new Uint8Array(size);
  const view = new DataView(bytes.buffer);
  bytes.set(headerBytes, PREAMBLE_BYTES);
  let at = PREAMBLE_BYTES + headerBytes.length;
  for (const token of tokens) {
    view.setInt32(at, token, true);
    at += 4;
  }
  const storage = sequence.cache.pool.storage;
  for (const [i, layer] of layers.entries()) {
    for (const index of mainPages[i]!) {
      bytes.set(await storage.read(sequence.main(i).get(index), layer.mainPageBytes), at);
      at += layer.mainPageBytes;
    }
    for (const index of layer.exactPages) {
      bytes.set(await storage.read(sequence.exact(i).get(index), layer.exactPageBytes), at);
      at += layer.exactPageBytes;
    }
  }
  view.setUint32(0, MAGIC, true);
  view.setUint32(4, SNAPSHOT_VERSION, true);
  view.setUint32(8, headerBytes.length, true);
  view.setUint32(12, crc32c(bytes.subarray(PREAMBLE_BYTES)), true);
  return bytes;
}

/**
 * The header of a snapshot whose checksum holds.
 * @throws TurboQuantError invalid_file — not a snapshot, another version, truncated, damaged
 */
export function readSnapshotHeader(bytes: Uint8Array): SnapshotHeader {
  return parse(bytes).header;
}

function parse(bytes: Uint8Array): { header: SnapshotHeader; body: number } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < PREAMBLE_BYTES || view.getUint32(0, true) !== MAGIC) {
    throw invalid("not a KV snapshot (no TQKV mark at its start); pass a file written by save");
  }
  const version = view.getUint32(4, true);
  if (version !== SNAPSHOT_VERSION) {
    throw invalid(`version ${version}, this build reads ${SNAPSHOT_VERSION}; save it again with this build`, { version });
  }
  const headerLength = view.getUint32(8, true);
  const body = PREAMBLE_BYTES + headerLength;
  const damaged = "truncated or damaged (checksum differs); fetch or save it again";
  if (headerLength > MAX_HEADER_BYTES || body > bytes.length) throw invalid(damaged);
  if (crc32c(bytes.subarray(PREAMBLE_BYTES)) !== view.getUint32(12, true)) throw invalid(damaged);
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(PREAMBLE_BYTES, body))) as SnapshotHeader;
  return { header, body };
}

/**
 * Rebuilds a sequence in `cache` from the bytes of `saveSequence`.
 * @throws TurboQuantError invalid_file — damaged, or of another model or format; out_of_memory — no room. Nothing is kept then.
 */
export function restoreSequence(
  cache: KvCache,
  bytes: Uint8Array,
  expected: SnapshotIdentity,
): { sequence: Sequence; tokens: number[] } {
  const { header, body } = parse(bytes);
  check(cache, header, expected);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const tokens = Array.from({ length: header.numTokens }, (_, i) => view.getInt32(body + 4 * i, true));
  const sequence = cache.createSequence();
  let at = body + 4 * header.numTokens;
  try {
    header.layers.forEach((layer, i) => {
      const take = (table: BlockTable, index: number, numBytes: number): void => {
        const address = cache.pool.allocate(numBytes);
        table.set(index, address);
        cache.pool.storage.write(address, bytes.subarray(at, at + numBytes));
        at += numBytes;
      };
      const pages = Math.ceil(header.length / cache.layers[i]!.main.pageTokens);
      for (let index = 0; index < pages; index++) take(sequence.main(i), index, layer.mainPageBytes);
      for (const index of layer.exactPages) take(sequence.exact(i), index, layer.exactPageBytes);
    });
    sequence.adopt(
      header.length,
      header.layers.map((layer) => layer.exactStart),
    );
  } catch (error) {
    sequence.release();
    throw error;
  }
  return { sequence, tokens };
}

/** Every way in which a sound file may still not belong here. */
function check(cache: KvCache, header: SnapshotHeader, expected: SnapshotIdentity): void {
  if (header.fingerprint !== expected.fingerprint) {
    throw invalid("it belongs to another model (fingerprints differ); load the model it was saved with", {
      fingerprint: header.fingerprint,
      expected: expected.fingerprint,
    });
  }
  if (header.kvSpec !== expected.kvSpec) {
    throw invalid(`its KV format is ${header.kvSpec}, the model was loaded with ${expected.kvSpec}; load with that --kv`, {
      kvSpec: header.kvSpec,
      expected: expected.kvSpec,
    });
  }
  const shape = (l: Pick<SnapshotLayer, "mainPageBytes" | "exactPageBytes">): string => `${l.mainPageBytes}/${l.exactPageBytes}`;
  const own = cache.layers.map((l) => shape({ mainPageBytes: l.main.numBytes, exactPageBytes: l.exact?.numBytes ?? 0 }));
  if (own.join() !== header.layers.map(shape).join()) {
    throw invalid("its page layout is not this build's; save it again with this build");
  }
}
