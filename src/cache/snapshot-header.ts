/** @file First and last bytes of a snapshot: what it holds, for which model and format, and whether it is whole. */
import { TurboQuantError } from "../errors.ts";
import { crc32c } from "../math/crc32c.ts";
import { kindOf } from "./states/state-kinds.ts";
import { isCount, type StateDescription } from "./states/state-slot.ts";

/** "TQKV" */
const MAGIC = 0x564b5154;
export const SNAPSHOT_VERSION = 2;
/** Mark, version, file length (u64), header length. */
const PREAMBLE_BYTES = 20;
/** CRC-32C of everything before it. */
export const CHECKSUM_BYTES = 4;
/** A header holds a few numbers a layer; 1 MiB is ten thousand layers. More is not one of ours. */
const MAX_HEADER_BYTES = 1 << 20;

export interface SnapshotIdentity {
  /** Of the weights: another model's cache is meaningless. */
  readonly fingerprint: string;
  /** Canonical text of the KV format. */
  readonly kvSpec: string;
}

/** What the header says of one state: `KvDescription`, or one with a `kind` of its own. */
export type SnapshotLayer = StateDescription;

export interface SnapshotHeader extends SnapshotIdentity {
  /** Tokens in the cache. */
  readonly length: number;
  /** Tokens of the conversation; may be one more than the cache holds. 0 when they were not given. */
  readonly numTokens: number;
  readonly layers: readonly SnapshotLayer[];
}

export function invalidSnapshot(message: string, detail: Record<string, unknown> = {}): TurboQuantError {
  return new TurboQuantError("invalid_file", `snapshot: ${message}`, detail);
}

/** Preamble, header and tokens. `pageBytes`: what follows before the checksum. */
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

/** Trailer for a CRC taken over everything before it. */
export function encodeChecksum(crc: number): Uint8Array {
  const bytes = new Uint8Array(CHECKSUM_BYTES);
  new DataView(bytes.buffer).setUint32(0, crc, true);
  return bytes;
}

/**
 * The header of a whole and undamaged snapshot, and where its tokens begin.
 * @throws TurboQuantError invalid_file — not a snapshot, another version, truncated, damaged
 */
export function decodeHead(bytes: Uint8Array): { header: SnapshotHeader; tokensAt: number } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 8 || view.getUint32(0, true) !== MAGIC) {
    throw invalidSnapshot("not a KV snapshot (it does not start with TQKV); pass a file written by Session.save");
  }
  const version = view.getUint32(4, true);
  if (version !== SNAPSHOT_VERSION) {
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
      ? parseHeader(bytes.subarray(PREAMBLE_BYTES, tokensAt))
      : undefined;
  if (!header || tokensAt + 4 * header.numTokens + pagesBytes(header) !== end) {
    throw invalidSnapshot("its header does not describe its bytes; save it again with this build");
  }
  return { header, tokensAt };
}

function pagesBytes({ layers, length }: SnapshotHeader): number {
  return layers.reduce((sum, layer) => sum + kindOf(layer)!.pageBytes(layer, length), 0);
}

/** undefined when a field is missing or of another type: a sound checksum does not make a sound writer. */
function parseHeader(json: Uint8Array): SnapshotHeader | undefined {
  let value: Partial<Record<keyof SnapshotHeader, unknown>>;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(json));
  } catch {
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const { fingerprint, kvSpec, length, numTokens, layers } = value;
  const isSound =
    typeof fingerprint === "string" &&
    typeof kvSpec === "string" &&
    isCount(length) &&
    isCount(numTokens) &&
    Array.isArray(layers) &&
    layers.every((layer) => typeof layer === "object" && layer !== null && kindOf(layer)?.isSound(layer, length));
  return isSound ? (value as SnapshotHeader) : undefined;
}
