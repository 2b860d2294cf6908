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
import { mergeConversations } from "./merge-conversations.ts";

const WRITE_INTERVAL_MS = 300;
const LEFTOVER = "unwritten";

export interface KeeperEvents {
  /** The conversation is in the database. */
  readonly onKept: (id: string, outcome: PutOutcome) => void;
  /** Something could not be written; it is tried again with the next change of that conversation. */
  readonly onError: (error: unknown) => void;
}

/** Takes a conversation out of what a page has left. */
function dropLeft(name: string, id: string): void {
  const rest = (readSaved(name, isConversations) ?? []).filter((each) => each.id !== id);
  save(name, rest.length > 0 ? rest : undefined);
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
  /** Where earlier pages have left what waits, by conversation. */
  readonly #recovered = new Map<string, readonly string[]>();
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
    const left = Array.from(this.#waiting.values(), (each) => this.#asWritten(each));
    save(`${LEFTOVER}.${this.#tab}`, left.length > 0 ? left : undefined);
  }

  /** Drops unsaved changes of a conversation that is deleted, those that any page has left as well. */
  drop(id: string): void {
    this.#waiting.delete(id);
    this.#written.delete(id);
    this.#failed.delete(id);
    this.#recovered.delete(id);
    for (const name of savedNames(LEFTOVER)) dropLeft(name, id);
  }

  /** A conversation as it waits to be written; undefined where the database has all of it. */
  waiting(id: string): Conversation | undefined {
    return this.#waiting.get(id);
  }

  /** Whether something could not be written so far. */
  get isBehind(): boolean {
    return this.#failed.size > 0;
  }

  /** Tries to write again what could not be written. */
  retry(): void {
    this.#writeAll();
  }

  /**
   * Writes to the database what earlier pages left in localStorage. What cannot be written now stays there, and waits like changes of this page.
   * returns: what waits
   */
  async recover(): Promise<Conversation[]> {
    for (const name of savedNames(LEFTOVER)) {
      const left = readSaved(name, isConversations);
      if (!left) save(name, undefined);
      for (const conversation of left ?? []) {
        const { id } = conversation;
        try {
          await this.#db.put(conversation);
          dropLeft(name, id);
        } catch (error) {
          const before = this.#waiting.get(id);
          this.#waiting.set(id, before ? mergeConversations(before, conversation) : conversation);
          this.#recovered.set(id, [...(this.#recovered.get(id) ?? []), name]);
          this.#failed.add(id);
          this.#events.onError(error);
        }
      }
    }
    return [...this.#waiting.values()];
  }

  /** One that was written before is made from some record, so that it is not written anew after it was deleted. */
  #asWritten(conversation: Conversation): Conversation {
    const { id, revision = 0 } = conversation;
    return this.#written.has(id) ? { ...conversation, revision } : conversation;
  }

  #writeAll(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    for (const id of [...this.#waiting.keys()]) this.#write(id);
  }

  #write(id: string): void {
    const conversation = this.#waiting.get(id);
    if (!conversation) return;
    this.#db.put(this.#asWritten(conversation)).then(
      (outcome) => {
        // One that was dropped meanwhile is another when it comes back.
        if (outcome !== "gone" && this.#waiting.has(id)) this.#written.add(id);
        this.#failed.delete(id);
        if (this.#waiting.get(id) === conversation) this.#waiting.delete(id);
        for (const name of this.#recovered.get(id) ?? []) dropLeft(name, id);
        this.#recovered.delete(id);
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
