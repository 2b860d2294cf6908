/** @file What this browser keeps for the page, with sizes, and how to be rid of it. */
import { useEffect } from "preact/hooks";
import { chatStore } from "../chat/chat-store.ts";
import { formatAge, formatBytes, formatCount } from "../ui/format.ts";
import { Icon } from "../ui/icon.tsx";
import { useStore } from "../ui/store.ts";
import { forgetCache, keptStore, refreshKept } from "./kept-store.ts";

export function KeptList() {
  const { caches, usedBytes, quotaBytes } = useStore(keptStore);
  const conversations = useStore(chatStore, (state) => state.others);
  useEffect(() => void refreshKept(), []);
  const titleOf = (id: string): string => conversations.find((each) => each.id === id)?.title ?? "A conversation";
  const total = caches.reduce((sum, { numBytes }) => sum + numBytes, 0);
  return (
    <section class="field" aria-labelledby="kept-title">
      <h3 id="kept-title" class="field-label">
        Kept in this browser
      </h3>
      <p class="hint">
        {caches.length === 0
          ? "No caches yet. They are kept by themselves after each answer of a model in this tab, so that the conversation goes on at once another day."
          : `${caches.length} ${caches.length === 1 ? "cache" : "caches"}, ${formatBytes(total)}: these conversations go on at once. The oldest make room for new ones.`}
        {quotaBytes > 0 &&
          ` In all ${formatBytes(usedBytes)} of the ${formatBytes(quotaBytes)} that the browser allows.`}
      </p>
      <ul class="kept-list">
        {caches.map(({ conversation, model, kv, tokens, numBytes, usedAt }) => (
          <li key={conversation}>
            <span class="kept-name">{titleOf(conversation)}</span>
            <span class="faint number">
              {formatBytes(numBytes)}, {formatCount(tokens)} tokens, {model} {kv.split(",")[0]}, {formatAge(usedAt)}
            </span>
            <button
              type="button"
              class="icon-button"
              aria-label={`Delete the cache of ${titleOf(conversation)}`}
              onClick={() => void forgetCache(conversation)}
            >
              <Icon name="trash" />
            </button>
          </li>
        ))}
      </ul>
      {caches.length > 1 && (
        <button
          type="button"
          class="button"
          onClick={() => void Promise.all(caches.map(({ conversation }) => forgetCache(conversation)))}
        >
          Delete all caches
        </button>
      )}
    </section>
  );
}
