/** @file Makes a conversation of a saved cache. */
import { adoptRestored } from "../chat/chat-store.ts";
import { newId } from "../chat/conversation.ts";
import { tabEngine } from "../engine/engine-store.ts";
import { EngineError } from "../engine/rpc.ts";

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
