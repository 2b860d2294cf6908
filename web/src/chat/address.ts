/** @file The address of the conversation that is shown, and the conversation of an address. */
import { linkTo, routeStore, setAddress } from "../ui/route.ts";
import { chatStore, openConversation, startNew } from "./chat-store.ts";

/** The address of a conversation in which something was said; a new one has none. */
function addressOf(): string {
  const { current } = chatStore.get();
  return linkTo("chat", current.messages.length > 0 ? current.id : "");
}

function showAddress(): void {
  const { view, part } = routeStore.get();
  if (view !== "chat") return;
  const { current, others } = chatStore.get();
  if (part === current.id || (part === "" && current.messages.length === 0)) return;
  if (others.some(({ id }) => id === part)) openConversation(part);
  // An address without a conversation, such as that of the menu, is of the one that is open.
  else if (part !== "") startNew();
  setAddress(addressOf(), false);
}

/** Called once the conversations are there. */
export function followAddress(): void {
  let shown = chatStore.get().current.id;
  showAddress();
  routeStore.subscribe(showAddress);
  chatStore.subscribe(() => {
    const { current } = chatStore.get();
    if (routeStore.get().view !== "chat") return;
    const isOther = current.id !== shown;
    shown = current.id;
    if (isOther || current.messages.length > 0) setAddress(addressOf(), isOther);
  });
}
