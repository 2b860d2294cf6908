/** @file A hook that tells whether a media query matches, also when that changes. */
import { useEffect, useState } from "preact/hooks";

/** In narrower windows the sidebar is a drawer. */
export const NARROW = "(max-width: 859px)";
/** In narrower windows the cache panel is a sheet. */
export const NO_ROOM_FOR_PANEL = "(max-width: 1139px)";

export function useMedia(query: string): boolean {
  const [holds, setHolds] = useState(() => matchMedia(query).matches);
  useEffect(() => {
    const list = matchMedia(query);
    const look = (): void => setHolds(list.matches);
    look();
    list.addEventListener("change", look);
    return () => list.removeEventListener("change", look);
  }, [query]);
  return holds;
}
