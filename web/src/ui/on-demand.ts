/** @file A part of the page's scripts that is loaded when something first needs it. */
import { useEffect } from "preact/hooks";
import { createStore, type Store, useStore } from "./store.ts";

export interface OnDemand<T> {
  readonly store: Store<T | null>;
  load(): void;
}

export function onDemand<T>(fetchIt: () => Promise<T>): OnDemand<T> {
  const store = createStore<T | null>(null);
  let isAsked = false;
  return {
    store,
    load() {
      if (isAsked) return;
      isAsked = true;
      // Without a network it stays away, and what needs it does without.
      fetchIt().then(store.set, () => {});
    },
  };
}

/** null until it is there. isNeeded: whether to ask for it */
export function useOnDemand<T>({ store, load }: OnDemand<T>, isNeeded = true): T | null {
  useEffect(() => {
    if (isNeeded) load();
  }, [isNeeded, load]);
  return useStore(store);
}
