/** @file Saves small choices in localStorage, or in sessionStorage what is of this tab alone. A browser that forbids it forgets them, and everything else works. */

const PREFIX = "turboquant.";

/** `tab`: other tabs do not see it, and it ends with this one. */
type Place = "browser" | "tab";
const storageOf = (place: Place): Storage => (place === "tab" ? sessionStorage : localStorage);

export function readSaved<T>(
  name: string,
  isValid: (value: unknown) => value is T,
  place: Place = "browser",
): T | null {
  try {
    const value: unknown = JSON.parse(storageOf(place).getItem(PREFIX + name) ?? "null");
    return isValid(value) ? value : null;
  } catch {
    return null;
  }
}

/** Names that begin with `prefix`. */
export function savedNames(prefix: string): string[] {
  try {
    const keys = Array.from({ length: localStorage.length }, (_, i) => localStorage.key(i) ?? "");
    return keys.filter((key) => key.startsWith(PREFIX + prefix)).map((key) => key.slice(PREFIX.length));
  } catch {
    return [];
  }
}

/** undefined removes the value. */
export function save(name: string, value: unknown, place: Place = "browser"): void {
  try {
    if (value === undefined) storageOf(place).removeItem(PREFIX + name);
    else storageOf(place).setItem(PREFIX + name, JSON.stringify(value));
  } catch {
    // The storage is full or forbidden, so the choice lasts as long as the page.
  }
}

export const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
