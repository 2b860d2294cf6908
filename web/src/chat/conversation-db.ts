/** @file Stores conversations in IndexedDB. Where that is forbidden they are lost with the page, and the page says so. */
import { isRecord } from "../ui/saved.ts";
import type { Conversation } from "./conversation.ts";

const NAME = "turboquant";
const VERSION = 1;
const STORE = "conversations";

export interface ConversationDb {
  readonly isLasting: boolean;
  /** The newest first. */
  all(): Promise<Conversation[]>;
  put(conversation: Conversation): Promise<void>;
  delete(id: string): Promise<void>;
}

function result<T>(request: IDBRequest<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

function isConversation(value: unknown): value is Conversation {
  return isRecord(value) && typeof value["id"] === "string" && Array.isArray(value["messages"]);
}

const newestFirst = (list: Conversation[]): Conversation[] => list.sort((a, b) => b.updatedAt - a.updatedAt);

export async function openConversationDb(): Promise<ConversationDb> {
  try {
    const request = indexedDB.open(NAME, VERSION);
    request.onupgradeneeded = () => request.result.createObjectStore(STORE, { keyPath: "id" });
    const db = await result(request);
    const store = (mode: IDBTransactionMode): IDBObjectStore => db.transaction(STORE, mode).objectStore(STORE);
    return {
      isLasting: true,
      all: async () => newestFirst((await result<unknown[]>(store("readonly").getAll())).filter(isConversation)),
      put: async (conversation) => void (await result(store("readwrite").put(conversation))),
      delete: async (id) => void (await result(store("readwrite").delete(id))),
    };
  } catch {
    return memoryDb();
  }
}

function memoryDb(): ConversationDb {
  const kept = new Map<string, Conversation>();
  return {
    isLasting: false,
    all: async () => newestFirst([...kept.values()]),
    put: async (conversation) => void kept.set(conversation.id, conversation),
    delete: async (id) => void kept.delete(id),
  };
}
