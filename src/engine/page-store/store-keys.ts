/** @file Keys of the shared store: what the bytes of a part depend on is hashed into them (docs/formats/shared-pages.md says what). */
import { SNAPSHOT_VERSION } from "../../cache/snapshot-header.ts";
import { sha256Hex } from "../../formats/sha256.ts";
import type { LLM } from "../llm.ts";

/** What a key stands for: the pages that a page end seals, or what a sequence has at its length alone. */
export type PartKind = "sealed" | "end";

export class StoreKeys {
  readonly #model: string;

  /** weightsDigest: `LLM.weightsDigest` */
  constructor({ snapshotIdentity: { fingerprint, kvSpec }, ops, decoder }: LLM, weightsDigest: string) {
    // Fine-tunes of some tensors alone may share the fingerprint. What a format's name means belongs to the version of snapshots. Backends, and weights that are kept in another format, compute keys and values with other last bits.
    const weights = Object.entries(decoder.weightsOfType).sort();
    this.#model = JSON.stringify([SNAPSHOT_VERSION, fingerprint, weightsDigest, kvSpec, ops.name, weights]);
  }

  /**
   * hash: of the tokens up to a page end, chained from the salt of those who may share it (`pageHashes`) · ropeLength: of the sequence
   *
   * returns: 64 hex digits
   */
  of(kind: PartKind, hash: string, ropeLength: number): string {
    return sha256Hex([new TextEncoder().encode(JSON.stringify([this.#model, kind, hash, ropeLength]))]);
  }
}
