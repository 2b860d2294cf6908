/**
 * @file Saves conversations while they grow.
 *
 * They are written to the database a few times a second. A page that is being closed cannot wait for the database, so unsaved
 * changes go to localStorage, which is synchronous, and from there to the database on the next visit.
 */
import { readSaved, save, savedNames } from "../ui/saved.ts";
import type { Conversation } from "./conversation.ts";
import type { ConversationDb, PutOutcome } from "./conversation-db.ts";
import { isConversations } from "./is-conversation.ts";

const WRITE_INTERVAL_MS = 300;
const LEFTOVER = "unwritten";

export interface KeeperEvents {
  /** The conversation is in the database. */
  readonly onKept: (id: string, outcome: PutOutcome) => void;
  /** Something could not be written; it is tried again with the next change of that conversation. */
  readonly onError: (error: unknown) => void;
}

export class Keeper {
  readonly #db: ConversationDb;
  readonly #tab: string;
  readonly #events: KeeperEvents;
  /** What is not in the database yet, by id. */
  readonly #waiting = new Map<string, Conversation>();
  /** Conversations that were written before. Without a record in the database they were deleted since. */
  readonly #written = new Set<string>();
  /** Conversations whose last write failed. */
  readonly #failed = new Set<string>();
  #hasLeft = false;
  #timer: ReturnType<typeof setTimeout> | null = null;

  /** tab: an id of this page, so that pages which close at the same time do not overwrite what the others leave */
  constructor(db: ConversationDb, tab: string, events: KeeperEvents) {
    this.#db = db;
    this.#tab = tab;
    this.#events = events;
  }

  /** Saves a conversation soon, or at once. */
  keep(conversation: Conversation, now = false): void {
    this.#waiting.set(conversation.id, conversation);
    if (now) this.#write(conversation.id);
    else this.#timer ??= setTimeout(() => this.#writeAll(), WRITE_INTERVAL_MS);
  }

  /** Called when the page is about to close. One that comes back takes what it left out of localStorage again once that is written. */
  leave(): void {
    this.#hasLeft = true;
    const left = Array.from(this.#waiting.values(), (each) =>
      this.#written.has(each.id) ? { ...each, revision: each.revision ?? 0 } : each,
    );
    save(`${LEFTOVER}.${this.#tab}`, left.length > 0 ? left : undefined);
  }

  /** Drops unsaved changes of a conversation that is deleted, those that any page has left as well. */
  drop(id: string): void {
    this.#waiting.delete(id);
    this.#written.delete(id);
    this.#failed.delete(id);
    for (const name of savedNames(LEFTOVER)) {
      const left = readSaved(name, isConversations) ?? [];
      const rest = left.filter((each) => each.id !== id);
      if (rest.length < left.length) save(name, rest.length > 0 ? rest : undefined);
    }
  }

  /** Whether something could not be written so far. */
  get isBehind(): boolean {
    return this.#failed.size > 0;
  }

  /** Tries to write again what could not be written. */
  retry(): void {
    this.#writeAll();
  }

  /** Writes to the database what earlier pages left in localStorage. */
  async recover(): Promise<void> {
    for (const name of savedNames(LEFTOVER)) {
      for (const conversation of readSaved(name, isConversations) ?? []) await this.#db.put(conversation);
      save(name, undefined);
    }
  }

  #writeAll(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    for (const id of [...this.#waiting.keys()]) this.#write(id);
  }

  #write(id: string): void {
    const conversation = this.#waiting.get(id);
    if (!conversation) return;
    this.#db.put(conversation).then(
      (outcome) => {
        if (outcome !== "gone") this.#written.add(id);
        this.#failed.delete(id);
        if (this.#waiting.get(id) === conversation) this.#waiting.delete(id);
        if (this.#hasLeft) this.leave();
        this.#events.onKept(id, outcome);
      },
      (error: unknown) => {
        if (this.#waiting.has(id)) this.#failed.add(id);
        this.#events.onError(error);
      },
    );
  }
}
