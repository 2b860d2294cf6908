/** @file What the browser keeps of this page: caches of conversations and models, with their sizes, and why something could not be kept. */
import { engineStore, setCache, tabEngine } from "../engine/engine-store.ts";
import { createStore } from "../ui/store.ts";
import { type KeptCache, listKeptCaches, removeKeptCache } from "./kept-caches.ts";

export interface Kept {
  readonly caches: readonly KeptCache[];
  /** Of the origin, all that it stores; 0 where the browser does not say. */
  readonly usedBytes: number;
  readonly quotaBytes: number;
  /** Why the last cache could not be kept. */
  readonly problem: string;
}

export const keptStore = createStore<Kept>({ caches: [], usedBytes: 0, quotaBytes: 0, problem: "" });

/** Time for a quick next question: a cache is kept when the conversation pauses. */
const PAUSE_MS = 500;

const patch = (change: Partial<Kept>): void => keptStore.update((kept) => ({ ...kept, ...change }));

export async function refreshKept(): Promise<void> {
  const caches = await listKeptCaches();
  const { usage = 0, quota = 0 } = (await navigator.storage?.estimate().catch(() => undefined)) ?? {};
  patch({ caches, usedBytes: usage, quotaBytes: quota });
}

const waiting = new Map<string, ReturnType<typeof setTimeout>>();

/** Keeps the cache of a conversation that was answered, a moment later. */
export function keepCache(conversation: string): void {
  clearTimeout(waiting.get(conversation));
  const keep = async (): Promise<void> => {
    waiting.delete(conversation);
    const outcome = await tabEngine()
      ?.keep(conversation)
      .catch(() => null);
    if (!outcome) return;
    patch({ problem: outcome.problem });
    // A browser that is short of room removes what it has not promised to keep.
    if (outcome.kept) void navigator.storage?.persist?.().catch(() => {});
    await refreshKept();
  };
  if (tabEngine())
    waiting.set(
      conversation,
      setTimeout(() => void keep(), PAUSE_MS),
    );
}

/** Removes the cache of a conversation from the browser and from memory. */
export async function forgetCache(conversation: string): Promise<void> {
  clearTimeout(waiting.get(conversation));
  waiting.delete(conversation);
  const engine = tabEngine();
  if (engine) await engine.forget(conversation);
  else await removeKeptCache(conversation);
  await refreshKept();
}

/** Shows the cache of a conversation that was opened, if there is one. */
export async function showCache(conversation: string, isShown: () => boolean): Promise<void> {
  const engine = tabEngine();
  const cache = await engine?.look(conversation).catch(() => null);
  if (cache && isShown() && engineStore.get().engine === engine && engineStore.get().cache === null) setCache(cache);
}
