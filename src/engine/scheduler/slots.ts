/** @file Numbered slots, as in llama.cpp: each is a place for a running choice and remembers the last conversation in it. */
import { restoreSequence, snapshotParts } from "../../cache/snapshot.ts";
import { TurboQuantError } from "../../errors.ts";
import type { LLM } from "../llm.ts";
import type { KvCacheManager } from "./kv-cache-manager.ts";
import { saltedRoot } from "./page-hashes.ts";
import type { PrefixEntry } from "./prefix-cache.ts";
import type { Choice } from "./request.ts";

export interface Slot {
  readonly id: number;
  readonly choice: Choice | null;
  /** The last conversation; its pages may have been evicted. */
  readonly entry: PrefixEntry | null;
  /** Whose the conversation is (`ScheduleOptions.owner`). */
  readonly owner: string;
}

export interface SavedSlot {
  readonly tokens: number;
  readonly parts: AsyncIterable<Uint8Array>;
  /** Gives back its hold on the pages, whether all parts were read or not. */
  release(): Promise<void>;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

export class SlotTable {
  readonly #slots: readonly Mutable<Slot>[];
  readonly #llm: LLM;
  readonly #manager: KvCacheManager;

  constructor(count: number, llm: LLM, manager: KvCacheManager) {
    this.#slots = Array.from({ length: count }, (_, id) => ({ id, choice: null, entry: null, owner: "" }));
    this.#llm = llm;
    this.#manager = manager;
  }

  get all(): readonly Slot[] {
    return this.#slots;
  }

  /**
   * Puts a choice into the slot its request asks for, if that is free. Otherwise into a free slot whose conversation it
   * continues, one without a conversation, or any free one.
   */
  assign(choice: Choice): void {
    const wanted = this.#slots[choice.request.options.slot ?? -1];
    const free = this.#slots.filter((slot) => slot.choice === null);
    const slot =
      wanted && !wanted.choice
        ? wanted
        : (free.find(
            ({ entry, owner }) => entry?.isLive && owner === ownerOf(choice) && goesOn(choice.tokens, entry),
          ) ??
          free.find(({ entry }) => !entry?.isLive) ??
          free[0]);
    if (!slot) return;
    slot.choice = choice;
    choice.slot = slot.id;
  }

  release(choice: Choice, entry: PrefixEntry | null): void {
    const slot = this.#slots[choice.slot];
    if (slot?.choice !== choice) return;
    slot.choice = null;
    // If the choice's sequence was not kept, the slot keeps its earlier conversation.
    if (!entry) return;
    slot.entry = entry;
    slot.owner = ownerOf(choice);
  }

  /**
   * The last conversation of a slot, as it is now, as the pieces of a snapshot file; null when it has none of this owner's.
   * @throws TurboQuantError invalid_argument — no such slot
   */
  save(id: number, owner = ""): SavedSlot | null {
    const { entry, owner: own } = this.#at(id);
    if (!entry?.isLive || own !== owner) return null;
    const pieces = snapshotParts(entry.sequence, { ...this.#manager.identity, tokens: entry.tokens ?? [] });
    // Begun at once: until the first piece is asked for, the conversation may give its pages up.
    const first = pieces.next();
    first.catch(() => {});
    const parts = async function* (): AsyncGenerator<Uint8Array, void> {
      const { value, done } = await first;
      if (!done) yield value;
      yield* pieces;
    };
    return {
      tokens: entry.length,
      parts: parts(),
      async release() {
        await pieces.return();
      },
    };
  }

  /**
   * Restores a saved conversation into a slot, so that prompts which begin like it continue from there.
   *
   * returns: its tokens
   * @throws TurboQuantError invalid_file — damaged, or of another model or format; out_of_memory — no room; invalid_argument —
   * no such slot, or one in use
   */
  restore(id: number, bytes: Uint8Array, owner = ""): number {
    const slot = this.#idle(id);
    this.#manager.makeRoom(bytes.length);
    const { sequence, tokens } = restoreSequence(this.#llm.cache, bytes, this.#manager.identity);
    slot.entry = this.#manager.prefixes.add(sequence, tokens, [], tokens.length > 0, saltedRoot(owner));
    slot.owner = owner;
    return sequence.length;
  }

  /**
   * Removes the last conversation of a slot, if it is this owner's. returns: its number of tokens
   * @throws as `restore`
   */
  erase(id: number, owner = ""): number {
    const slot = this.#idle(id);
    if (slot.owner !== owner) return 0;
    const erased = slot.entry?.isLive ? slot.entry.length : 0;
    if (slot.entry) this.#manager.prefixes.remove(slot.entry);
    slot.entry = null;
    return erased;
  }

  #at(id: number): Mutable<Slot> {
    const slot = this.#slots[id];
    if (slot) return slot;
    throw new TurboQuantError(
      "invalid_argument",
      `slot: expected 0 to ${this.#slots.length - 1}, got ${id}; GET /slots lists them`,
      { id },
    );
  }

  #idle(id: number): Mutable<Slot> {
    const slot = this.#at(id);
    if (!slot.choice) return slot;
    throw new TurboQuantError("invalid_argument", `slot ${id}: it is at work; wait until its request has ended`, {
      id,
    });
  }
}

const ownerOf = ({ request }: Choice): string => request.options.owner ?? "";

/** Whether a prompt begins with at least half of a conversation, so that it is its next turn or the last turn again. */
function goesOn(tokens: readonly number[], { tokens: said, length }: PrefixEntry): boolean {
  const half = Math.ceil(length / 2);
  if (!said || tokens.length < half) return false;
  for (let i = 0; i < half; i++) if (tokens[i] !== said[i]) return false;
  return true;
}
