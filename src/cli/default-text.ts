/** @file Defaults in help texts as people type them: `16MiB`, `60s`, `2,4,6`. */
import type { Option } from "commander";
import { byteSize, duration, memorySize } from "./options.ts";

/** What help says of an option's default; undefined where commander's own text does: of plain numbers and strings, and of none. */
export function defaultText({ defaultValue, parseArg }: Option): string | undefined {
  const parser: unknown = parseArg;
  if (Array.isArray(defaultValue)) return defaultValue.join(",");
  if (typeof defaultValue !== "number") return undefined;
  if (parser === byteSize || parser === memorySize) return sizeText(defaultValue);
  return parser === duration ? `${defaultValue / 1000}s` : undefined;
}

/** In the largest unit of which it is a whole number. */
function sizeText(bytes: number): string {
  const power = [3, 2, 1].find((each) => bytes % 1024 ** each === 0) ?? 0;
  return `${bytes / 1024 ** power}${["", "KiB", "MiB", "GiB"][power]}`;
}
