/** @file The title of the tab says what is shown, so that tabs and steps back can be told apart. */
import { chatStore } from "./chat/chat-store.ts";
import { viewStore } from "./ui/route.ts";

const NAME = "TurboQuant";
const VIEW_NAMES = { compare: "Compare", plan: "Plan", report: "Report" } as const;

function titleNow(): string {
  const view = viewStore.get();
  if (view !== "chat") return `${VIEW_NAMES[view]} – ${NAME}`;
  const { current } = chatStore.get();
  return current.messages.length > 0 ? `${current.title} – ${NAME}` : NAME;
}

export function followTitle(): void {
  const show = (): void => {
    const title = titleNow();
    if (document.title !== title) document.title = title;
  };
  show();
  viewStore.subscribe(show);
  chatStore.subscribe(show);
}
