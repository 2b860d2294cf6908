/** @file The caches of conversations that the browser keeps, with their sizes, and why one could not be kept; what deletes them and kept models. */
import { engineStore, setCache, tabEngine } from "../engine/engine-store.ts";
import { createStore } from "../ui/store.ts";
import { type KeptCache, listKeptCaches, removeKeptCache } from "./kept-caches.ts";
import { removeKeptModel } from "./kept-models.ts";
import { askToStay } from "./stay.ts";

export interface Kept {
  readonly caches: readonly KeptCache[];
  /** Of the origin, all that it stores; 0 where the browser does not say. */
  readonly usedBytes: number;
  readonly quotaBytes: number;
  /** Why the cache of a conversation could not be kept, by conversation. */
  readonly problems: ReadonlyMap<string, string>;
}

export const keptStore = createStore<Kept>({ caches: [], usedBytes: 0, quotaBytes: 0, problems: new Map() });

/** What was deleted last from the browser's storage, which has more room since: the cache of a conversation, or a model, which is of none. */
export const deletionStore = createStore({ cacheOf: "" });

/** Time for a quick next question: a cache is kept when the conversation pauses. */
const PAUSE_MS = 500;

const patch = (change: Partial<Kept>): void => keptStore.update((kept) => ({ ...kept, ...change }));

/** problem: an empty one takes away what was said before */
function noteProblem(conversation: string, problem: string): void {
  const problems = new Map(keptStore.get().problems);
  problems.delete(conversation);
  if (problem) problems.set(conversation, problem);
  patch({ problems });
}

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
    noteProblem(conversation, outcome.problem);
    if (outcome.kept) askToStay();
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
  noteProblem(conversation, "");
  deletionStore.set({ cacheOf: conversation });
  await refreshKept();
}

/** Removes a model from the browser; one that is loaded goes on. */
export async function forgetModel(ref: string): Promise<void> {
  await removeKeptModel(ref);
  deletionStore.set({ cacheOf: "" });
}

/** Shows the cache of a conversation that was opened, if there is one. */
export async function showCache(conversation: string, isShown: () => boolean): Promise<void> {
  const engine = tabEngine();
  const cache = await engine?.look(conversation).catch(() => null);
  if (cache && isShown() && engineStore.get().engine === engine && engineStore.get().cache === null) setCache(cache);
}
