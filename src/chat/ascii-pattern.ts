/** @file Regular expressions as JSON Schema means them, for an engine whose `\d` and `\w` are those of Unicode. */

const INSIDE: Readonly<Record<string, string>> = { d: "0-9", w: "A-Za-z0-9_" };

/** `\d`, `\w`, `\D` and `\W` written out as sets of ASCII; `\D` and `\W` inside of a set stay as they are. */
export function asciiPattern(pattern: string): string {
  let isInSet = false;
  return pattern.replace(/\\([\s\S])|[[\]]/g, (part, escaped: string | undefined) => {
    if (escaped === undefined) {
      isInSet = part === "[";
      return part;
    }
    const set = INSIDE[escaped.toLowerCase()];
    const isNegated = set !== undefined && escaped !== escaped.toLowerCase();
    if (set === undefined || (isInSet && isNegated)) return part;
    return isInSet ? set : `[${isNegated ? "^" : ""}${set}]`;
  });
}
