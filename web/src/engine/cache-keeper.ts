/** @file Keeps caches of conversations in the browser, so that tomorrow the same conversation, or another about the same document, goes on at once. */
import { type LLM, type Session, TurboQuantError } from "turboquant";
import { SNAPSHOT_VERSION, snapshotParts } from "turboquant/cache";
import { keptFolder, readFile, writeFile } from "../kept/folder.ts";
import { fileOf, type KeptCache, listIn, removeIn } from "../kept/kept-caches.ts";
import { formatBytes } from "../ui/format.ts";
import { commonPrefix } from "./common-prefix.ts";
import type { KeepOutcome } from "./protocol.ts";

/** More caches than that are not kept, whatever their size. */
const MAX_CACHES = 64;
/** All caches together take at most so many bytes, and this part of what the browser allows the page. */
const MAX_BYTES = 4e9;
const MAX_SHARE = 0.3;
/** A shorter prefix is computed as fast as it is read. */
export const LEAST_SHARED_TOKENS = 32;

interface Entry {
  readonly kept: KeptCache;
  readonly tokens: Int32Array;
}

export class CacheKeeper {
  readonly #folder: FileSystemDirectoryHandle;
  readonly #entries = new Map<string, Entry>();

  private constructor(folder: FileSystemDirectoryHandle) {
    this.#folder = folder;
  }

  /** null where the browser keeps nothing for the page */
  static async open(): Promise<CacheKeeper | null> {
    const folder = await keptFolder("caches");
    if (!folder) return null;
    const keeper = new CacheKeeper(folder);
    for (const kept of await listIn(folder)) {
      const file = await readFile(folder, fileOf(kept.conversation, ".tokens"));
      const bytes = await file?.arrayBuffer();
      if (bytes && bytes.byteLength % 4 === 0) {
        keeper.#entries.set(kept.conversation, { kept, tokens: new Int32Array(bytes) });
      }
    }
    return keeper;
  }

  /** Writes the cache of a conversation, and removes those used longest ago until all are within the limits. */
  async keep(conversation: string, session: Session, llm: LLM): Promise<KeepOutcome> {
    const { fingerprint, kvSpec } = llm.snapshotIdentity;
    const { sequence, tokens } = session;
    const limit = await limitBytes();
    await this.remove(conversation);
    if (sequence.numBytes > limit) {
      const problem = `it takes ${formatBytes(sequence.numBytes)}, and the browser gives room for ${formatBytes(limit)}`;
      return { kept: null, problem };
    }
    this.#makeRoom(limit - sequence.numBytes, MAX_CACHES - 1);
    const own = Int32Array.from(tokens);
    try {
      const parts = snapshotParts(sequence, { fingerprint, kvSpec, tokens });
      const numBytes = await writeFile(this.#folder, fileOf(conversation, ".tqkv"), parts);
      await writeFile(this.#folder, fileOf(conversation, ".tokens"), [new Uint8Array(own.buffer)]);
      const kept: KeptCache = {
        ...{ conversation, model: llm.name, fingerprint, kv: kvSpec, version: SNAPSHOT_VERSION },
        ...{ tokens: sequence.length, numBytes, usedAt: Date.now() },
      };
      const description = new TextEncoder().encode(JSON.stringify(kept));
      await writeFile(this.#folder, fileOf(conversation, ".json"), [description]);
      this.#entries.set(conversation, { kept, tokens: own });
      return { kept, problem: "" };
    } catch (error) {
      await this.remove(conversation);
      return { kept: null, problem: error instanceof Error ? error.message : String(error) };
    }
  }

  /**
   * The cache that has most of a prompt already, of the same model and format.
   *
   * conversation: whose cache is taken when several have as much
   */
  find(
    ids: ArrayLike<number>,
    conversation: string,
    llm: LLM,
  ): { readonly id: string; readonly shared: number } | null {
    const { fingerprint, kvSpec } = llm.snapshotIdentity;
    let best: { readonly id: string; readonly shared: number } | null = null;
    let most = LEAST_SHARED_TOKENS - 1;
    for (const [id, { kept, tokens }] of this.#entries) {
      if (kept.fingerprint !== fingerprint || kept.kv !== kvSpec) continue;
      const shared = Math.min(commonPrefix(tokens, ids), kept.tokens);
      if (shared > most || (shared === most && id === conversation)) {
        best = { id, shared };
        most = shared;
      }
    }
    return best;
  }

  /** Whether there is a cache of this conversation for the model as it is. */
  has(conversation: string, llm: LLM): boolean {
    const { fingerprint, kvSpec } = llm.snapshotIdentity;
    const kept = this.#entries.get(conversation)?.kept;
    return kept?.fingerprint === fingerprint && kept.kv === kvSpec;
  }

  /** A session with the cache that is kept; null when the file is gone or damaged, which is then forgotten. */
  async restore(id: string, llm: LLM): Promise<Session | null> {
    const file = await readFile(this.#folder, fileOf(id, ".tqkv"));
    try {
      if (file) return llm.restore(new Uint8Array(await file.arrayBuffer()));
    } catch (error) {
      // Without room for it the file is as good as it was.
      if (error instanceof TurboQuantError && error.code === "out_of_memory") return null;
    }
    await this.remove(id);
    return null;
  }

  async remove(conversation: string): Promise<void> {
    this.#entries.delete(conversation);
    await removeIn(this.#folder, conversation);
  }

  #makeRoom(bytes: number, count: number): void {
    const oldest = [...this.#entries.values()].sort((a, b) => a.kept.usedAt - b.kept.usedAt);
    let total = oldest.reduce((sum, { kept }) => sum + kept.numBytes, 0);
    while (oldest.length > count || (oldest.length > 0 && total > bytes)) {
      const { kept } = oldest.shift()!;
      total -= kept.numBytes;
      void this.remove(kept.conversation);
    }
  }
}

async function limitBytes(): Promise<number> {
  const { quota = 0 } = await navigator.storage.estimate().catch(() => ({ quota: 0 }));
  return Math.min(MAX_BYTES, quota * MAX_SHARE);
}
