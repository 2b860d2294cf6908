/** @file Whether a media query holds, now and later. */
import { useEffect, useState } from "preact/hooks";

/** Below this the sidebar is a drawer. */
export const NARROW = "(max-width: 859px)";
/** Below this the memory panel is a sheet. */
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
