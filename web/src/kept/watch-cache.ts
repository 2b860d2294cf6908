/** @file Shows the cache of the conversation that is open, whenever another one is opened or another model or format answers. */
import { chatStore } from "../chat/chat-store.ts";
import { engineStore } from "../engine/engine-store.ts";
import { showCache } from "./kept-store.ts";

/** returns: ends it */
export function watchCache(): () => void {
  let shown = "";
  const look = (): void => {
    const { current, isAnswering } = chatStore.get();
    const { engine, info } = engineStore.get();
    const now = engine ? `${current.id} ${info?.name} ${info?.kv}` : "";
    if (now === shown) return;
    shown = now;
    if (!engine || isAnswering || current.messages.length === 0) return;
    void showCache(current.id, () => chatStore.get().current.id === current.id && !chatStore.get().isAnswering);
  };
  const ends = [chatStore.subscribe(look), engineStore.subscribe(look)];
  return () => {
    for (const end of ends) end();
  };
}
