/** @file Says in the panel whether this conversation's cache is in memory, kept in the browser, or computed anew with the next message. */
import { chatStore } from "../chat/chat-store.ts";
import { engineStore } from "../engine/engine-store.ts";
import { formatBytes } from "../ui/format.ts";
import { useStore } from "../ui/store.ts";
import { forgetCache, keptStore } from "./kept-store.ts";

export function CacheKept() {
  const { caches, problems } = useStore(keptStore);
  const current = useStore(chatStore, (state) => state.current);
  const isAnswering = useStore(chatStore, (state) => state.isAnswering);
  const hasCache = useStore(engineStore, ({ cache }) => cache !== null);
  const isReady = useStore(engineStore, ({ status }) => status === "ready");
  if (isAnswering || current.messages.length === 0 || !isReady) return null;
  const kept = caches.find(({ conversation }) => conversation === current.id);
  if (!hasCache) {
    return <p class="hint">The cache of this conversation is not in memory; it is computed with the next message.</p>;
  }
  const problem = problems.get(current.id);
  if (problem) return <p class="problem">This cache is not kept for another day: {problem}</p>;
  if (!kept) return null;
  return (
    <p class="hint">
      Kept in this browser, {formatBytes(kept.numBytes)}: the conversation goes on at once another day.{" "}
      <button type="button" class="link-button" onClick={() => void forgetCache(current.id)}>
        Delete
      </button>
    </p>
  );
}
