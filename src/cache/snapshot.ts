/** @file A sequence as one file, byte for byte (docs/formats/kv-snapshot.md). */
import { TurboQuantError } from "../errors.ts";
import { crc32c } from "../math/crc32c.ts";
import type { PageLayout } from "../quant/page-layout.ts";
import type { BlockTable } from "./block-table.ts";
import { clearRows } from "./clear-rows.ts";
import type { KvCache, LayerCache } from "./kv-cache.ts";
import type { PageAddress } from "./page-storage.ts";
import { exactGroup, mainGroup, type Sequence } from "./sequence.ts";
import {
  CHECKSUM_BYTES,
  decodeHead,
  encodeChecksum,
  encodeHead,
  invalidSnapshot,
  type SnapshotHeader,
  type SnapshotIdentity,
  type SnapshotLayer,
} from "./snapshot-header.ts";

export { SNAPSHOT_VERSION, type SnapshotHeader, type SnapshotIdentity } from "./snapshot-header.ts";

export interface SaveOptions extends SnapshotIdentity {
  /** Tokens the cache stands for, from position 0; may go past `sequence.length`. None by default. */
  readonly tokens?: readonly number[];
}

/** A page of the file: where it lies now, and the rows of it that hold a token. */
interface SavedPage {
  readonly address: PageAddress;
  readonly layout: PageLayout;
  /** Rows [from, to) are kept, and rows below `sinkRows`. */
  readonly from: number;
  readonly to: number;
  readonly sinkRows: number;
}

/** Indices of the exact pages in which some row below `length` may be read: those of the sinks, and from exactStart on. */
function exactPageIndices({ exact, format }: LayerCache, length: number, exactStart: number): number[] {
  if (!exact) return [];
  const { pageTokens } = exact;
  return Array.from({ length: Math.ceil(length / pageTokens) }, (_, index) => index).filter((index) => {
    const holdsSinks = index * pageTokens < format.sinks;
    return holdsSinks || (exactStart < length && (index + 1) * pageTokens > exactStart);
  });
}

function describe(sequence: Sequence, layer: number): SnapshotLayer {
  const own = sequence.cache.layers[layer]!;
  const exactStart = sequence.exactStart(layer);
  return {
    ...shapeOf(own),
    exactStart,
    exactPages: exactPageIndices(own, sequence.length, exactStart),
  };
}

const shapeOf = ({ main, exact }: LayerCache) => ({
  numKvHeads: main.numKvHeads,
  headDim: main.headDim,
  mainPageBytes: main.numBytes,
  exactPageBytes: exact?.numBytes ?? 0,
});

function* savedPages(sequence: Sequence, layers: readonly SnapshotLayer[]): Generator<SavedPage> {
  const { length } = sequence;
  for (const [i, { exactStart, exactPages }] of layers.entries()) {
    const { main, exact, format } = sequence.cache.layers[i]!;
    for (let index = 0, start = 0; start < length; index++, start += main.pageTokens) {
      yield { address: sequence.main(i).get(index), layout: main, from: 0, to: length - start, sinkRows: 0 };
    }
    for (const index of exact ? exactPages : []) {
      const start = index * exact!.pageTokens;
      yield {
        address: sequence.exact(i).get(index),
        layout: exact!,
        from: exactStart - start,
        to: length - start,
        sinkRows: Math.min(format.sinks, length) - start,
      };
    }
  }
}

/**
 * The file in pieces, for writing it without holding it whole. The sequence may go on meanwhile: a fork is what is saved.
 * The first piece says how long the file is (u64 at offset 8).
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
  const frozen = sequence.fork();
  try {
    const layers = frozen.cache.layers.map((_, layer) => describe(frozen, layer));
    const header: SnapshotHeader = { fingerprint, kvSpec, length: frozen.length, numTokens: tokens.length, layers };
    const pages = [...savedPages(frozen, layers)];
    const head = encodeHead(
      header,
      tokens,
      pages.reduce((sum, page) => sum + page.layout.numBytes, 0),
    );
    let crc = crc32c(head);
    yield head;
    for (const { address, layout, from, to, sinkRows } of pages) {
      const bytes = await frozen.cache.pool.storage.read(address, layout.numBytes);
      clearRows(bytes, layout, Math.max(0, sinkRows), Math.min(from, layout.pageTokens));
      clearRows(bytes, layout, Math.max(0, to), layout.pageTokens);
      crc = crc32c(bytes, crc);
      yield bytes;
    }
    yield encodeChecksum(crc);
  } finally {
    frozen.release();
  }
}

/** The whole file of `snapshotParts`. */
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
 * The header of a snapshot whose checksum holds.
 * @throws TurboQuantError invalid_file — not a snapshot, another version, truncated, damaged
 */
export function readSnapshotHeader(bytes: Uint8Array): SnapshotHeader {
  return decodeHead(bytes).header;
}

/**
 * Rebuilds a sequence in `cache` from the bytes of `saveSequence`. Does not retain `bytes`.
 * @throws TurboQuantError invalid_file — damaged, or of another model or format; out_of_memory — no room. Nothing is
 * kept then.
 */
export function restoreSequence(
  cache: KvCache,
  bytes: Uint8Array,
  expected: SnapshotIdentity,
): { sequence: Sequence; tokens: number[] } {
  const { header, tokensAt } = decodeHead(bytes);
  check(cache, header, expected);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const tokens = Array.from({ length: header.numTokens }, (_, i) => view.getInt32(tokensAt + 4 * i, true));
  cache.pool.require(bytes.length - CHECKSUM_BYTES - tokensAt - 4 * header.numTokens);
  const sequence = cache.createSequence();
  let at = tokensAt + 4 * header.numTokens;
  try {
    const take = (table: BlockTable, index: number, numBytes: number, group: number): void => {
      const address = cache.pool.allocate(numBytes, group);
      table.set(index, address);
      cache.pool.storage.write(address, bytes.subarray(at, at + numBytes));
      at += numBytes;
    };
    header.layers.forEach((layer, i) => {
      const pages = Math.ceil(header.length / cache.layers[i]!.main.pageTokens);
      for (let index = 0; index < pages; index++) take(sequence.main(i), index, layer.mainPageBytes, mainGroup(i));
      for (const index of layer.exactPages) take(sequence.exact(i), index, layer.exactPageBytes, exactGroup(i));
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
  if (header.layers.length !== cache.layers.length) {
    throw invalidSnapshot(
      `expected ${cache.layers.length} layers, got ${header.layers.length}; load the model it was saved with`,
      { layers: header.layers.length, expected: cache.layers.length },
    );
  }
  if (header.numTokens > 0 && header.numTokens < header.length) {
    throw invalidSnapshot(
      `expected at least ${header.length} tokens, got ${header.numTokens}; save it again with this build`,
    );
  }
  header.layers.forEach((layer, i) => {
    const { exactStart, exactPages, ...shape } = layer;
    const own = shapeOf(cache.layers[i]!);
    for (const [name, want] of Object.entries(own)) {
      const got = shape[name as keyof typeof own];
      if (got === want) continue;
      throw invalidSnapshot(
        `layer ${i}: expected ${name} ${want}, got ${got}; save it again with this model and build`,
        {
          layer: i,
          name,
          got,
          expected: want,
        },
      );
    }
    if (exactPages.join() !== exactPageIndices(cache.layers[i]!, header.length, exactStart).join()) {
      throw invalidSnapshot(`layer ${i}: its 16-bit pages do not fit its length; save it again with this build`, {
        layer: i,
      });
    }
  });
}
