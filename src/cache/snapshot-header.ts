/** @file The first and last bytes of a snapshot: what it holds, for which model and format, and a checksum that shows damage. */
import { TurboQuantError } from "../errors.ts";
import { crc32c } from "../math/crc32c.ts";
import { specOfVersion2 } from "./older-specs.ts";
import { kindOf } from "./states/state-kinds.ts";
import { isCount, type StateDescription } from "./states/state-slot.ts";

/** "TQKV" in ASCII, little endian. */
const MAGIC = 0x564b5154;
export const SNAPSHOT_VERSION = 3;
/** It is the same but for what names of formats mean (`specOfVersion2`), and is read under the name that its format has now. */
const VERSION_OF_16_BITS = 2;
/** Magic number, version, file length (u64), header length. */
const PREAMBLE_BYTES = 20;
/** CRC-32C of all bytes before it. */
export const CHECKSUM_BYTES = 4;
/** A header holds a few numbers for each layer, so 1 MiB would be ten thousand layers. A longer one is not a snapshot. */
const MAX_HEADER_BYTES = 1 << 20;

export interface SnapshotIdentity {
  /** Identifies the weights: the cache of another model is meaningless. */
  readonly fingerprint: string;
  /** Canonical text of the KV format. */
  readonly kvSpec: string;
}

/** The header's description of one state: `KvDescription`, or another kind's, which has a `kind` field. */
export type SnapshotLayer = StateDescription;

export interface SnapshotHeader extends SnapshotIdentity {
  /** Tokens in the cache. */
  readonly length: number;
  /** Tokens of the conversation; may be one more than the cache holds. 0 when the caller gave none. */
  readonly numTokens: number;
  /** `Sequence.ropeLength`; absent: 0. */
  readonly ropeLength?: number | null;
  readonly layers: readonly SnapshotLayer[];
}

export function invalidSnapshot(message: string, detail: Record<string, unknown> = {}): TurboQuantError {
  return new TurboQuantError("invalid_file", `snapshot: ${message}`, detail);
}

/** Preamble, header and tokens. pageBytes: size of the pages, which come next in the file. */
export function encodeHead(header: SnapshotHeader, tokens: ArrayLike<number>, pageBytes: number): Uint8Array {
  const json = new TextEncoder().encode(JSON.stringify(header));
  const head = new Uint8Array(PREAMBLE_BYTES + json.length + 4 * tokens.length);
  const view = new DataView(head.buffer);
  view.setUint32(0, MAGIC, true);
  view.setUint32(4, SNAPSHOT_VERSION, true);
  view.setBigUint64(8, BigInt(head.length + pageBytes + CHECKSUM_BYTES), true);
  view.setUint32(16, json.length, true);
  head.set(json, PREAMBLE_BYTES);
  for (let i = 0; i < tokens.length; i++) view.setInt32(PREAMBLE_BYTES + json.length + 4 * i, tokens[i]!, true);
  return head;
}

/** The last bytes of the file. crc: of everything before them */
export function encodeChecksum(crc: number): Uint8Array {
  const bytes = new Uint8Array(CHECKSUM_BYTES);
  new DataView(bytes.buffer).setUint32(0, crc, true);
  return bytes;
}

/**
 * Checks the whole file, then parses its header. `tokensAt`: byte offset of the tokens.
 * @throws TurboQuantError invalid_file — not a snapshot, another version, truncated, damaged
 */
export function decodeHead(bytes: Uint8Array): { header: SnapshotHeader; tokensAt: number } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 8 || view.getUint32(0, true) !== MAGIC) {
    throw invalidSnapshot("not a KV snapshot (it does not start with TQKV); pass a file written by Session.save");
  }
  const version = view.getUint32(4, true);
  if (version !== SNAPSHOT_VERSION && version !== VERSION_OF_16_BITS) {
    throw invalidSnapshot(`expected version ${SNAPSHOT_VERSION}, got ${version}; save it again with this build`, {
      version,
    });
  }
  const length = bytes.length < PREAMBLE_BYTES + CHECKSUM_BYTES ? 0 : Number(view.getBigUint64(8, true));
  if (length !== bytes.length) {
    throw invalidSnapshot(
      `truncated or damaged: expected ${length || `at least ${PREAMBLE_BYTES + CHECKSUM_BYTES}`} bytes, got ${bytes.length}; ` +
        "copy or save it again",
      { expectedBytes: length, bytes: bytes.length },
    );
  }
  const end = bytes.length - CHECKSUM_BYTES;
  if (crc32c(bytes.subarray(0, end)) !== view.getUint32(end, true)) {
    throw invalidSnapshot("damaged: its checksum does not match its bytes; copy or save it again");
  }
  const headerBytes = view.getUint32(16, true);
  const tokensAt = PREAMBLE_BYTES + headerBytes;
  const header =
    headerBytes <= MAX_HEADER_BYTES && tokensAt <= end
      ? parseHeader(bytes.subarray(PREAMBLE_BYTES, tokensAt), version)
      : undefined;
  if (!header || tokensAt + 4 * header.numTokens + pagesBytes(header) !== end) {
    throw invalidSnapshot("its header does not describe its bytes; save it again with this build");
  }
  return { header, tokensAt };
}

/** Bytes of all pages that a header describes. */
export function pagesBytes({ layers, length }: SnapshotHeader): number {
  return layers.reduce((sum, layer) => sum + kindOf(layer)!.pageBytes(layer, length), 0);
}

/** undefined when a field is missing or of the wrong type. A right checksum does not prove that the writer was right. */
export function parseHeader(json: Uint8Array, version = SNAPSHOT_VERSION): SnapshotHeader | undefined {
  let value: Partial<Record<keyof SnapshotHeader, unknown>>;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(json));
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const { fingerprint, kvSpec, length, numTokens, ropeLength = 0, layers } = value;
  const isSound =
    typeof fingerprint === "string" &&
    typeof kvSpec === "string" &&
    isCount(length) &&
    isCount(numTokens) &&
    (ropeLength === null || isCount(ropeLength)) &&
    Array.isArray(layers) &&
    layers.every((layer) => typeof layer === "object" && layer !== null && kindOf(layer)?.isSound(layer, length));
  if (!isSound) return undefined;
  const header = value as SnapshotHeader;
  return version === VERSION_OF_16_BITS ? { ...header, kvSpec: specOfVersion2(header.kvSpec) } : header;
}
