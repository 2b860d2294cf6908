/** @file State outside of components: a value that is replaced as a whole, and a hook that reads a part of it. */
import { useEffect, useRef, useState } from "preact/hooks";

export interface Store<T> {
  get(): T;
  set(next: T): void;
  update(change: (value: T) => T): void;
  subscribe(listener: () => void): () => void;
}

export function createStore<T>(initial: T): Store<T> {
  let value = initial;
  const listeners = new Set<() => void>();
  const set = (next: T): void => {
    if (Object.is(next, value)) return;
    value = next;
    for (const listener of [...listeners]) listener();
  };
  return {
    get: () => value,
    set,
    update: (change) => set(change(value)),
    subscribe(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

/** Renders the component again when the value that `select` returns has changed. */
export function useStore<T, S = T>(store: Store<T>, select: (value: T) => S = (value) => value as unknown as S): S {
  const [, redraw] = useState(0);
  const selected = select(store.get());
  const latest = useRef({ select, selected });
  latest.current = { select, selected };
  useEffect(() => {
    const look = (): void => {
      const { select, selected } = latest.current;
      if (!Object.is(select(store.get()), selected)) redraw((n) => n + 1);
    };
    // The value may have changed between rendering and this effect.
    look();
    return store.subscribe(look);
  }, [store]);
  return selected;
}
