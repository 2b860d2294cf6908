/** @file The current view. It is part of the address after the #, so that it can be linked to and "back" works. */
import { createStore } from "./store.ts";

export const VIEWS = ["chat", "compare", "plan", "report"] as const;
export type View = (typeof VIEWS)[number];

function viewOf(hash: string): View {
  const name = hash.replace(/^#\/?/, "");
  return VIEWS.find((view) => view === name) ?? "chat";
}

export const viewStore = createStore<View>(viewOf(location.hash));
addEventListener("hashchange", () => viewStore.set(viewOf(location.hash)));

export const linkTo = (view: View): string => `#/${view}`;
