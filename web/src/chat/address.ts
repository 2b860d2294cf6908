/** @file The address of the conversation that is shown, and the conversation of an address. */
import { linkTo, routeStore, setAddress } from "../ui/route.ts";
import { chatStore, openConversation, startNew } from "./chat-store.ts";

/** Of what is shown, or is about to be: a new conversation, in which nothing was said, has no address. */
function idOf(): string {
  const { current, opening } = chatStore.get();
  return opening || (current.messages.length > 0 ? current.id : "");
}
const addressOf = (): string => linkTo("chat", idOf());

/** The address becomes that of what is shown, in the place of one that the page was opened with. */
export const stayAtAddress = (): void => setAddress(addressOf(), false);

function showAddress(): void {
  const { view, part } = routeStore.get();
  if (view !== "chat") return;
  if (part === idOf()) return;
  if (chatStore.get().others.some(({ id }) => id === part)) void openConversation(part);
  // An address without a conversation, such as that of the menu, is of the one that is open.
  else if (part !== "") startNew();
  stayAtAddress();
}

/** Called once the conversations are there. returns: what ends it */
export function followAddress(): () => void {
  const now = (): string => chatStore.get().opening || chatStore.get().current.id;
  let shown = now();
  showAddress();
  const ends = [routeStore.subscribe(showAddress)];
  const follow = (): void => {
    if (routeStore.get().view !== "chat") return;
    const isOther = now() !== shown;
    shown = now();
    if (isOther || idOf() !== "") setAddress(addressOf(), isOther);
  };
  ends.push(chatStore.subscribe(follow));
  return () => {
    for (const end of ends) end();
  };
}
