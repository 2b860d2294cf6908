/** @file Refuses options that a function does not have, which are slips of the pen: ignored, they would leave the default in place without a word. */
import { closest } from "./closest.ts";
import { TurboQuantError } from "./errors.ts";

/** Compared without separators and case: other APIs write kv_cache or maxTokens. */
const plain = (text: string): string => text.replace(/[_-]/g, "").toLowerCase();

/**
 * known: the names of all options; a value that is a text is a name that other programs have, and the text is ours
 * @throws TurboQuantError invalid_argument — no object, or an option that is not among them; names the one that was meant
 */
export function refuseUnknownOptions(
  what: string,
  options: object,
  known: Readonly<Record<string, true | string>>,
): void {
  if (typeof options !== "object" || options === null || Array.isArray(options)) {
    throw new TurboQuantError(
      "invalid_argument",
      `${what}: expected an object of options, got ${JSON.stringify(options) ?? String(options)}; pass { name: value }`,
    );
  }
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined || (Object.hasOwn(known, name) && known[name] === true)) continue;
    const own = Object.keys(known).filter((each) => known[each] === true);
    const other = Object.keys(known).find((each) => plain(each) === plain(name));
    const alias = other === undefined ? undefined : known[other];
    const hint = typeof alias === "string" ? alias : (other ?? closest(name, own));
    throw new TurboQuantError(
      "invalid_argument",
      `${what}: unknown option ${name}; ${hint ? `did you mean ${hint}?` : `choose from ${own.join(", ")}`}`,
      { name },
    );
  }
}
