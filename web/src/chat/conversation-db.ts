/**
 * @file Stores conversations in IndexedDB. Where that is forbidden they are lost with the page, and the page says so.
 *
 * Several tabs may change one conversation. A record counts how often it was written, from a number of its own, and a conversation carries the
 * revision that it was made from. What is written is merged with the record where another tab has added to it since then. So it does not matter
 * what a tab has read besides and not taken over.
 */
import type { Conversation } from "./conversation.ts";
import { isConversation } from "./is-conversation.ts";
import { mergeConversations } from "./merge-conversations.ts";

const NAME = "turboquant";
const VERSION = 1;
const STORE = "conversations";
/** Conversations that are read together. */
const READ_AT_ONCE = 32;

/** `gone`: another tab has deleted it since, and nothing was written · a conversation: what was written is this, merged with what another tab wrote. */
export type PutOutcome = "kept" | "gone" | Conversation;

export interface ConversationDb {
  readonly isLasting: boolean;
  /** Reads all conversations, a few at a time: together their texts may be more than a page should have in memory. */
  each(visit: (conversation: Conversation) => void): Promise<void>;
  get(id: string): Promise<Conversation | null>;
  /** Resolves when the data is in the storage. @throws DOMException QuotaExceededError — the storage is full */
  put(conversation: Conversation): Promise<PutOutcome>;
  delete(id: string): Promise<void>;
}

interface StoredConversation extends Conversation {
  /** Which tab has written it. */
  readonly tab?: string;
  /** The newest revision that has something in it which that tab did not write. */
  readonly foreign?: number;
}

/** Revision of a conversation that no record was read for; records that do not say how often they were written count as 0. */
const NONE = -1;
/** Where a record begins to count is drawn from so many numbers, so that no two of one conversation count alike. */
const FIRST_REVISIONS = 2 ** 48;

function result<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

/** A write succeeds before it is committed; storage that is full refuses only the commit. */
function committed({ transaction }: IDBObjectStore): Promise<void> {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onabort = () => reject(transaction.error ?? new DOMException("the write was aborted", "AbortError"));
  });
}

const isStored = (value: unknown): value is StoredConversation => isConversation(value);

/** tab: an id of this page, different from that of all others */
export async function openConversationDb(tab: string): Promise<ConversationDb> {
  try {
    const request = indexedDB.open(NAME, VERSION);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE, { keyPath: "id" });
    return new IndexedConversations(await result(request), tab);
  } catch {
    return memoryDb();
  }
}

class IndexedConversations implements ConversationDb {
  readonly isLasting = true;
  readonly #db: IDBDatabase;
  readonly #tab: string;

  constructor(db: IDBDatabase, tab: string) {
    this.#db = db;
    this.#tab = tab;
  }

  async each(visit: (conversation: Conversation) => void): Promise<void> {
    const keys = await result(this.#store("readonly").getAllKeys());
    for (let at = 0; at < keys.length; at += READ_AT_ONCE) {
      const store = this.#store("readonly");
      const some = keys.slice(at, at + READ_AT_ONCE).map((key) => result<unknown>(store.get(key)));
      for (const record of await Promise.all(some)) if (isStored(record)) visit(asRead(record));
    }
  }

  async get(id: string): Promise<Conversation | null> {
    const record: unknown = await result(this.#store("readonly").get(id));
    return isStored(record) ? asRead(record) : null;
  }

  async put(conversation: Conversation): Promise<PutOutcome> {
    const store = this.#store("readwrite");
    const { id } = conversation;
    const end = committed(store);
    // It is awaited below; a read that fails first must not leave it unhandled.
    end.catch(() => {});
    const found: unknown = await result(store.get(id));
    const stored = isStored(found) ? found : null;
    const known = conversation.revision ?? NONE;
    if (!stored && known !== NONE) return "gone";
    // A tab may still have the conversation as it was before it was deleted and written anew, with revisions of that other record.
    const last = stored ? (stored.revision ?? 0) : Math.floor(Math.random() * FIRST_REVISIONS);
    const foreign = !stored ? NONE : stored.tab === this.#tab ? (stored.foreign ?? NONE) : last;
    const revision = last + 1;
    const isMerged = stored !== null && (known < foreign || known > last);
    const written = { ...(isMerged ? mergeConversations(stored, conversation) : conversation), revision };
    store.put({ ...written, tab: this.#tab, foreign: isMerged ? revision : foreign });
    await end;
    return isMerged ? strip(written) : "kept";
  }

  async delete(id: string): Promise<void> {
    const store = this.#store("readwrite");
    const end = committed(store);
    store.delete(id);
    await end;
  }

  #store(mode: IDBTransactionMode): IDBObjectStore {
    return this.#db.transaction(STORE, mode).objectStore(STORE);
  }
}

function strip({ tab: _, foreign: __, ...conversation }: StoredConversation): Conversation {
  return conversation;
}

const asRead = (record: StoredConversation): Conversation => ({ ...strip(record), revision: record.revision ?? 0 });

function memoryDb(): ConversationDb {
  const kept = new Map<string, Conversation>();
  return {
    isLasting: false,
    each: async (visit) => kept.forEach((conversation) => void visit(conversation)),
    get: async (id) => kept.get(id) ?? null,
    put: async (conversation) => {
      kept.set(conversation.id, conversation);
      return "kept";
    },
    delete: async (id) => void kept.delete(id),
  };
}
