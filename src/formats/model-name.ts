/** @file The name that a model is shown by: in tables, in a server's list and in a page. Paths are for messages about files. */

/** What converters write when nobody told them a name: a folder's generic name, a training step, a commit. */
const SAYS_NOTHING =
  /^(models?|ggml[-_ ]model|hf|tmp|out|outputs?|final|merged|checkpoint([-_ ]?\d+)?|untitled|unknown|none|null|[0-9a-f]{32,64})$/i;
/** Longer ones are text of another kind, or made to fill a screen. */
const MAX_NAME_CHARS = 120;
const PART = /-\d{5}-of-\d{5}$/;

/** `general.name` as it can be shown on one line; null where it says nothing, or is the path of a converter's machine. */
export function saidName(name: string): string | null {
  const shown = name
    .replace(/\p{C}+/gu, " ")
    .replace(/\s+/g, " ")
    .trim();
  const isPath = /^[./~\\]|^[a-z]:[\\/]|\\/i.test(shown);
  return shown === "" || shown.length > MAX_NAME_CHARS || isPath || SAYS_NOTHING.test(shown) ? null : shown;
}

/** A GGUF file's name without its ending and without the number of a part. */
export const ggufStem = (file: string): string =>
  file
    .split("/")
    .at(-1)!
    .replace(/\.gguf$/, "")
    .replace(PART, "");

/**
 * The name of what lies at a path or a URL: the folder's or the file's, and `org/name` for a folder of the hub's local cache and
 * for the hub's own addresses.
 */
export function nameOfPlace(place: string): string {
  const isUrl = /^[a-z]{2,}:\/\//i.test(place);
  const path = isUrl ? withoutEscapes(place.replace(/^[^/]*\/\/[^/]*(?=\/)/, "").replace(/[?#].*$/, "")) : place;
  const parts = path.split(/[\\/]/).filter((part) => part !== "" && part !== ".");
  const last = parts.at(-1);
  if (last === undefined) return place;
  if (last === "config.json" && parts.length > 1) return nameOfPlace(parts.slice(0, -1).join("/"));
  const [, owner, name] = /^models--([^-].*?)--(.+)$/.exec(parts.at(-3) ?? "") ?? [];
  if (parts.at(-2) === "snapshots" && owner) return `${owner}/${name}`;
  if (isUrl && parts.at(-2) === "resolve" && parts.length >= 4) return `${parts.at(-4)}/${parts.at(-3)}`;
  return last.endsWith(".gguf") ? ggufStem(last) : last.replace(/\.json$/, "");
}

/** A model as it was named on a command line: hub ids and names of embedded models are names already. */
export const nameOfRef = (ref: string): string =>
  /^(\.{0,2}[\\/]|~|[a-z]:[\\/]|[a-z]{2,}:\/\/)|\.gguf$|[\\/]$|[\\/].*[\\/]|\\/i.test(ref) ? nameOfPlace(ref) : ref;

function withoutEscapes(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}
