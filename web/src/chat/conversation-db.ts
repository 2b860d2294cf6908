/**
 * @file Stores conversations in IndexedDB. Where that is forbidden they are lost with the page, and the page says so.
 *
 * Several tabs may change one conversation. Each record says which tab wrote it and how often it was written, so that a tab that knows an older state merges instead of overwriting.
 */
import { isRecord } from "../ui/saved.ts";
import { type Conversation, mergeConversations } from "./conversation.ts";

const NAME = "turboquant";
const VERSION = 1;
const STORE = "conversations";

/** `gone`: another tab has deleted it since, and nothing was written · a conversation: what was written is this, merged with what another tab wrote. */
export type PutOutcome = "kept" | "gone" | Conversation;

export interface ConversationDb {
  readonly isLasting: boolean;
  /** The newest first. */
  all(): Promise<Conversation[]>;
  get(id: string): Promise<Conversation | null>;
  /** Resolves when the data is in the storage. @throws DOMException QuotaExceededError — the storage is full */
  put(conversation: Conversation): Promise<PutOutcome>;
  delete(id: string): Promise<void>;
}

interface StoredConversation extends Conversation {
  readonly tab?: string;
  readonly revision?: number;
}

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

function isConversation(value: unknown): value is StoredConversation {
  return isRecord(value) && typeof value["id"] === "string" && Array.isArray(value["messages"]);
}

const newestFirst = (list: Conversation[]): Conversation[] => list.sort((a, b) => b.updatedAt - a.updatedAt);

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
  /** Revisions as this tab has read them last, by conversation. */
  readonly #seen = new Map<string, number>();

  constructor(db: IDBDatabase, tab: string) {
    this.#db = db;
    this.#tab = tab;
  }

  async all(): Promise<Conversation[]> {
    const records = (await result<unknown[]>(this.#store("readonly").getAll())).filter(isConversation);
    return newestFirst(records.map((record) => this.#read(record)));
  }

  async get(id: string): Promise<Conversation | null> {
    const record: unknown = await result(this.#store("readonly").get(id));
    return isConversation(record) ? this.#read(record) : null;
  }

  async put(conversation: Conversation): Promise<PutOutcome> {
    const store = this.#store("readwrite");
    const { id } = conversation;
    const end = committed(store);
    // It is awaited below; a read that fails first must not leave it unhandled.
    end.catch(() => {});
    const found: unknown = await result(store.get(id));
    const stored = isConversation(found) ? found : null;
    const seen = this.#seen.get(id);
    if (!stored && seen !== undefined) return "gone";
    const revision = stored?.revision ?? 0;
    const isForeign = stored !== null && stored.tab !== this.#tab && revision !== seen;
    const written = isForeign ? mergeConversations(strip(stored), conversation) : conversation;
    store.put({ ...written, tab: this.#tab, revision: revision + 1 });
    await end;
    this.#seen.set(id, revision + 1);
    return isForeign ? written : "kept";
  }

  async delete(id: string): Promise<void> {
    const store = this.#store("readwrite");
    const end = committed(store);
    store.delete(id);
    await end;
    this.#seen.delete(id);
  }

  #store(mode: IDBTransactionMode): IDBObjectStore {
    return this.#db.transaction(STORE, mode).objectStore(STORE);
  }

  #read(record: StoredConversation): Conversation {
    this.#seen.set(record.id, record.revision ?? 0);
    return strip(record);
  }
}

function strip({ tab: _, revision: __, ...conversation }: StoredConversation): Conversation {
  return conversation;
}

function memoryDb(): ConversationDb {
  const kept = new Map<string, Conversation>();
  return {
    isLasting: false,
    all: async () => newestFirst([...kept.values()]),
    get: async (id) => kept.get(id) ?? null,
    put: async (conversation) => {
      kept.set(conversation.id, conversation);
      return "kept";
    },
    delete: async (id) => void kept.delete(id),
  };
}
