/** @file Changes the format of the cache, and writes the conversation's cache anew in it, so that the change can be seen at once. */
import { chatStore } from "../chat/chat-store.ts";
import { changeKv, engineStore, setCache, tabEngine } from "../engine/engine-store.ts";
import type { CacheState } from "../engine/protocol.ts";
import { createStore } from "../ui/store.ts";

export interface Switch {
  readonly conversation: string;
  readonly kv: string;
  /** The cache before, in its format. */
  readonly before: CacheState;
  readonly beforeKv: string;
  /** Tokens that are written anew. */
  readonly done: number;
  readonly isWriting: boolean;
}

/** The last change of the format; null when the conversation went on since, or another was opened. */
export const switchStore = createStore<Switch | null>(null);

let writing: AbortController | null = null;

chatStore.subscribe(() => {
  const { current, isAnswering } = chatStore.get();
  const last = switchStore.get();
  if (!last || (last.conversation === current.id && !isAnswering)) return;
  // An answer goes on from what is written by then.
  writing?.abort();
  switchStore.set(null);
});

/** @throws EngineError — not a format, or one that this model cannot have */
export async function switchFormat(kv: string): Promise<void> {
  const engine = tabEngine();
  const { cache, choice } = engineStore.get();
  const conversation = chatStore.get().current.id;
  const beforeKv = choice?.where === "tab" ? choice.kv : "";
  const pending = switchStore.get();
  writing?.abort();
  await changeKv(kv);
  const isPending = pending?.isWriting && pending.conversation === conversation;
  const before = isPending ? pending.before : cache;
  if (!engine || !before || before.tokens === 0) {
    switchStore.set(null);
    return;
  }
  const own = new AbortController();
  writing = own;
  const start = { conversation, kv, before, beforeKv: isPending ? pending.beforeKv : beforeKv };
  const isCurrent = (): boolean => writing === own && chatStore.get().current.id === conversation;
  const show = (cache: CacheState, done: number, isWriting: boolean): void => {
    if (!isCurrent() || own.signal.aborted) return;
    setCache(cache);
    switchStore.set({ ...start, done, isWriting });
  };
  switchStore.set({ ...start, done: 0, isWriting: true });
  try {
    const written = await engine.rewrite(conversation, {
      onEvent: ({ cache, done }) => show(cache, done, true),
      signal: own.signal,
    });
    if (written) show(written, written.tokens, false);
    else if (isCurrent()) switchStore.set(null);
  } catch {
    // It is computed with the next message instead, which also says what is wrong.
    if (isCurrent()) switchStore.set(null);
  }
}
