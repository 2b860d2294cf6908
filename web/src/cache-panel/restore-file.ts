/** @file Makes a conversation of a saved cache. */
import { addAndShow } from "../chat/chat-store.ts";
import { newId, titleFrom } from "../chat/conversation.ts";
import { setCache, tabEngine } from "../engine/engine-store.ts";
import type { Restored } from "../engine/protocol.ts";
import { EngineError } from "../engine/rpc.ts";
import { keepCache } from "../kept/kept-store.ts";

/** id: of the conversation · @throws EngineError — no model in the tab, or a file that is damaged or of another model or format */
export async function restoreCacheFile(file: File): Promise<{ readonly id: string; readonly tokens: number }> {
  const engine = tabEngine();
  if (!engine) {
    throw new EngineError({
      code: "invalid_argument",
      message: `${file.name}: a saved cache goes on with its model in this tab; choose that one first`,
    });
  }
  const id = newId();
  const restored = await engine.restore(id, new Uint8Array(await file.arrayBuffer()));
  adoptRestored(id, restored);
  return { id, tokens: restored.cache.tokens };
}

/** Makes the messages of a restored cache the current conversation. */
export function adoptRestored(id: string, { messages, system, cache }: Restored): void {
  const first = messages.find(({ role }) => role === "user");
  const restored = messages.map(({ role, text }) => ({ id: newId(), role, text }));
  addAndShow({ id, title: titleFrom(first?.text ?? ""), updatedAt: Date.now(), system, messages: restored });
  setCache(cache);
  keepCache(id);
}
