/**
 * @file Saves the current conversation while it grows.
 *
 * It is written to the database a few times a second. A page that is being closed cannot wait for the database, so unsaved
 * changes go to localStorage, which is synchronous, and from there to the database on the next visit.
 */
import { isRecord, readSaved, save } from "../ui/saved.ts";
import type { Conversation } from "./conversation.ts";
import type { ConversationDb } from "./conversation-db.ts";

const WRITE_INTERVAL_MS = 300;
const LEFTOVER = "unwritten";

export class Keeper {
  readonly #db: ConversationDb;
  readonly #onError: (error: unknown) => void;
  #waiting: Conversation | null = null;
  #timer: ReturnType<typeof setTimeout> | null = null;

  constructor(db: ConversationDb, onError: (error: unknown) => void) {
    this.#db = db;
    this.#onError = onError;
  }

  /** Saves a conversation soon, or at once. */
  keep(conversation: Conversation, now = false): void {
    if (this.#waiting && this.#waiting.id !== conversation.id) this.#write();
    this.#waiting = conversation;
    if (now) this.#write();
    else this.#timer ??= setTimeout(() => this.#write(), WRITE_INTERVAL_MS);
  }

  /** Called when the page is about to close. */
  leave(): void {
    if (this.#waiting) save(LEFTOVER, this.#waiting);
  }

  /** Drops unsaved changes of a conversation that is deleted. */
  drop(id: string): void {
    if (this.#waiting?.id === id) this.#waiting = null;
  }

  /** Writes to the database what an earlier page left in localStorage. */
  async recover(): Promise<void> {
    const isLeftover = (value: unknown): value is Conversation => isRecord(value) && Array.isArray(value["messages"]);
    const left = readSaved(LEFTOVER, isLeftover);
    if (left) await this.#db.put(left);
    save(LEFTOVER, undefined);
  }

  #write(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    const conversation = this.#waiting;
    if (!conversation) return;
    this.#db.put(conversation).then(
      () => {
        if (this.#waiting === conversation) this.#waiting = null;
      },
      (error: unknown) => this.#onError(error),
    );
  }
}
