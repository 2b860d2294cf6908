/** @file The current view. It is part of the address after the #, so that it can be linked to and "back" works. */
import { createStore } from "./store.ts";

export const VIEWS = ["chat", "compare", "plan", "report"] as const;
export type View = (typeof VIEWS)[number];

export interface Route {
  readonly view: View;
  /** What of the view is shown: a conversation's id. Empty for none. */
  readonly part: string;
  /** What stands behind a question mark. */
  readonly query: string;
}

/** `#/chat/ID`, `#/plan?model=…`; anything else is the chat. */
export function routeOf(hash: string): Route {
  const [path = "", query = ""] = hash.replace(/^#\/?/, "").split("?", 2);
  const [name, part = ""] = path.split("/");
  const view = VIEWS.find((view) => view === name);
  return view ? { view, part, query } : { view: "chat", part: "", query: "" };
}

export const routeStore = createStore<Route>(routeOf(location.hash));
export const viewStore = createStore<View>(routeStore.get().view);

function look(): void {
  routeStore.set(routeOf(location.hash));
  viewStore.set(routeStore.get().view);
}
addEventListener("hashchange", look);

export const linkTo = (view: View, part = "", query = ""): string =>
  `#/${view}${part && `/${part}`}${query && `?${query}`}`;

/** Puts an address into the bar. isStep: whether "back" returns to the one before */
export function setAddress(hash: string, isStep: boolean): void {
  if (location.hash === hash) return;
  if (isStep) history.pushState(null, "", hash);
  else history.replaceState(null, "", hash);
  look();
}
