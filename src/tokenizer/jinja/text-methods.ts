/** @file The methods of str. */
import type { Budget } from "./budget.ts";
import { braceFormat, pad } from "./format-text.ts";
import { SPACE } from "./lexer.ts";
import { type Definition, define, type Engine } from "./signature.ts";
import { fail } from "./template-error.ts";
import {
  type Arguments,
  asIndex,
  isString,
  iterate,
  Tuple,
  textLength,
  typeName,
  Undefined,
  undefinedError,
  type Value,
} from "./values.ts";

function text(value: Value): string {
  if (isString(value)) return value;
  if (value instanceof Undefined) return undefinedError(value);
  return fail(`expected str, got ${typeName(value)}`);
}

const LEADING = new RegExp(`^[${SPACE}]+`);
const IS_SPACE = new RegExp(`^[${SPACE}]$`);
const SPACE_RUN = new RegExp(`[${SPACE}]+`);

/** Strips white space, or any of the characters given. */
export function strip(value: string, characters: Value, side: "both" | "left" | "right"): string {
  let stripped: (character: string) => boolean;
  if (characters === null) stripped = (character) => IS_SPACE.test(character);
  else {
    const set = new Set(text(characters));
    stripped = (character) => set.has(character);
  }
  const all = [...value];
  let start = 0;
  let end = all.length;
  if (side !== "right") while (start < end && stripped(all[start]!)) start++;
  if (side !== "left") while (end > start && stripped(all[end - 1]!)) end--;
  return all.slice(start, end).join("");
}

/** Splits at white space or a separator, at most so many times, from the left. */
function split(value: string, separator: Value, most: Value): string[] {
  const limit = asIndex(most, "maxsplit");
  const times = limit < 0 ? Number.POSITIVE_INFINITY : limit;
  const parts: string[] = [];
  if (separator === null) {
    let rest = value.replace(LEADING, "");
    while (rest !== "" && parts.length < times) {
      const gap = SPACE_RUN.exec(rest);
      if (!gap) break;
      parts.push(rest.slice(0, gap.index));
      rest = rest.slice(gap.index + gap[0].length);
    }
    if (rest !== "") parts.push(parts.length < times ? rest : strip(rest, null, "right") === "" ? "" : rest);
    return parts.filter((part, index) => part !== "" || index < parts.length - 1);
  }
  const by = text(separator);
  if (by === "") fail("empty separator");
  let at = 0;
  while (parts.length < times) {
    const found = value.indexOf(by, at);
    if (found < 0) break;
    parts.push(value.slice(at, found));
    at = found + by.length;
  }
  return [...parts, value.slice(at)];
}

function splitFromRight(value: string, separator: Value, most: Value): string[] {
  const limit = asIndex(most, "maxsplit");
  if (limit < 0) return split(value, separator, -1);
  if (separator === null) {
    const parts: string[] = [];
    let rest = strip(value, null, "right");
    while (rest !== "" && parts.length < limit) {
      let at = rest.length;
      while (at > 0 && !IS_SPACE.test(rest[at - 1]!)) at--;
      if (at === 0) break;
      parts.unshift(rest.slice(at));
      rest = strip(rest.slice(0, at), null, "right");
    }
    const first = parts.length < limit ? strip(rest, null, "left") : rest;
    return first === "" ? parts : [first, ...parts];
  }
  const all = split(value, separator, -1);
  const kept = Math.max(0, all.length - limit);
  return kept === 0 ? all : [all.slice(0, kept).join(text(separator)), ...all.slice(kept)];
}

/** Separators of files, groups and records. */
const SEPARATORS = "\\x1c-\\x1e";
const LINE_END = new RegExp(`\\r\\n|[\\n-\\r${SEPARATORS}\\x85\\u2028\\u2029]`, "g");

export function splitLines(value: string, keepsEnds = false): string[] {
  const lines: string[] = [];
  let at = 0;
  for (const { index, 0: end } of value.matchAll(LINE_END)) {
    lines.push(value.slice(at, keepsEnds ? index + end.length : index));
    at = index + end.length;
  }
  if (at < value.length) lines.push(value.slice(at));
  return lines;
}

export function replaceText(value: string, old: string, by: string, most: number, budget: Budget): string {
  budget.text(value.length);
  if (old !== "" && most < 0) {
    const parts = value.split(old);
    budget.text(value.length + (parts.length - 1) * by.length);
    return parts.join(by);
  }
  const parts = old === "" ? ["", ...value, ""] : value.split(old);
  const times = most < 0 ? parts.length - 1 : Math.min(most, parts.length - 1);
  budget.text(value.length + times * by.length);
  let result = parts[0]!;
  for (let i = 1; i < parts.length; i++) result += (i <= times ? by : old) + parts[i]!;
  return result;
}

export function capitalize(value: string): string {
  const [first = "", ...rest] = value;
  return first.toUpperCase() + rest.join("").toLowerCase();
}

const titled = (value: string): string =>
  value.replace(/\p{Cased}+/gu, (word) => {
    const [first, ...rest] = word;
    return first!.toUpperCase() + rest.join("").toLowerCase();
  });

/** A part of the text by code points, as `start` and `end` arguments choose it, and where it begins. */
function part(value: string, start: Value, end: Value): { part: string; start: number } {
  if (start === null && end === null) return { part: value, start: 0 };
  const all = [...value];
  const at = (bound: Value, fallback: number): number => {
    if (bound === null) return fallback;
    const index = asIndex(bound, "index");
    return Math.min(Math.max(index < 0 ? index + all.length : index, 0), all.length);
  };
  const from = at(start, 0);
  return { part: all.slice(from, at(end, all.length)).join(""), start: from };
}

function find(last: boolean, mustExist: boolean): Definition {
  return define("sub start=none end=none", ([self, sub, start, end]) => {
    const { part: within, start: from } = part(self as string, start, end);
    const unit = last ? within.lastIndexOf(text(sub)) : within.indexOf(text(sub));
    if (unit < 0) return mustExist ? fail("substring not found") : -1;
    return from + textLength(within.slice(0, unit));
  });
}

const affix = (matches: (value: string, affix: string) => boolean): Definition =>
  define("prefix start=none end=none", ([self, affixes, start, end]) => {
    const { part: within } = part(self as string, start, end);
    return affixes instanceof Tuple
      ? affixes.items.some((one) => matches(within, text(one)))
      : matches(within, text(affixes));
  });

const every = (pattern: RegExp): Definition => define("", ([self]) => pattern.test(self as string));
const cased = (pattern: RegExp, other: RegExp): Definition =>
  define("", ([self]) => pattern.test(self as string) && !other.test(self as string));

const partition = (last: boolean): Definition =>
  define("sep", ([self, sep]) => {
    const value = self as string;
    const by = text(sep);
    if (by === "") fail("empty separator");
    const at = last ? value.lastIndexOf(by) : value.indexOf(by);
    if (at < 0) return new Tuple(last ? ["", "", value] : [value, "", ""]);
    return new Tuple([value.slice(0, at), by, value.slice(at + by.length)]);
  });

const justify = (align: string): Definition =>
  define("width fillchar=?", ([self, width, fill = " "], { budget }) => {
    const value = self as string;
    const size = asIndex(width, "width");
    if (align !== "^") return pad(value, size, align, text(fill), budget);
    const missing = size - textLength(value);
    if (missing <= 0) return value;
    budget.text(size);
    // Where the sides differ, Python puts the larger one on the left of an odd width.
    const left = (missing >> 1) + (missing & size & 1);
    return text(fill).repeat(left) + value + text(fill).repeat(missing - left);
  });

function joined(self: Value, items: Value, { budget }: Engine): string {
  const parts = iterate(items, budget).map((item, index) =>
    isString(item) ? item : fail(`sequence item ${index}: expected str instance, ${typeName(item)} found`),
  );
  const length =
    parts.reduce((sum, one) => sum + one.length, 0) + Math.max(0, parts.length - 1) * (self as string).length;
  budget.text(length);
  return parts.join(self as string);
}

export const TEXT_METHODS: Readonly<Record<string, Definition>> = {
  capitalize: define("", ([self]) => capitalize(self as string)),
  casefold: define("", ([self]) => (self as string).replaceAll("ß", "ss").toLowerCase()),
  center: justify("^"),
  count: define("sub start=none end=none", ([self, sub, start, end]) => {
    const { part: within } = part(self as string, start, end);
    return text(sub) === "" ? textLength(within) + 1 : within.split(text(sub)).length - 1;
  }),
  endswith: affix((value, suffix) => value.endsWith(suffix)),
  find: find(false, false),
  format: define("...", ([self, args], engine) =>
    braceFormat(
      self as string,
      args as Arguments,
      (object, key, isItem) =>
        isItem ? engine.item(object, /^\d+$/.test(key) ? Number(key) : key) : engine.attribute(object, key),
      engine.budget,
    ),
  ),
  index: find(false, true),
  isalnum: every(/^[\p{L}\p{N}]+$/u),
  isalpha: every(/^\p{L}+$/u),
  isascii: every(/^[\0-\x7f]*$/),
  isdecimal: every(/^\p{Nd}+$/u),
  isdigit: every(/^[\p{Nd}²³¹⁰⁴-⁹₀-₉]+$/u),
  isidentifier: every(/^[\p{ID_Start}_]\p{ID_Continue}*$/u),
  islower: cased(/\p{Lowercase}/u, /[\p{Uppercase}\p{Lt}]/u),
  isnumeric: every(/^\p{N}+$/u),
  isprintable: every(/^[\P{C} ]*$/u),
  isspace: every(new RegExp(`^[${SPACE}]+$`)),
  istitle: define("", ([self]) => /\p{Cased}/u.test(self as string) && titled(self as string) === self),
  isupper: cased(/\p{Uppercase}/u, /[\p{Lowercase}\p{Lt}]/u),
  join: define("iterable", ([self, items], engine) => joined(self, items, engine)),
  ljust: justify("<"),
  lower: define("", ([self]) => (self as string).toLowerCase()),
  lstrip: define("chars=none", ([self, characters]) => strip(self as string, characters, "left")),
  partition: partition(false),
  removeprefix: define("prefix", ([self, prefix]) => {
    const value = self as string;
    return value.startsWith(text(prefix)) ? value.slice(text(prefix).length) : value;
  }),
  removesuffix: define("suffix", ([self, suffix]) => {
    const value = self as string;
    return text(suffix) !== "" && value.endsWith(text(suffix)) ? value.slice(0, -text(suffix).length) : value;
  }),
  replace: define("old new count=-1", ([self, old, by, count], { budget }) =>
    replaceText(self as string, text(old), text(by), asIndex(count, "count"), budget),
  ),
  rfind: find(true, false),
  rindex: find(true, true),
  rjust: justify(">"),
  rpartition: partition(true),
  rsplit: define("sep=none maxsplit=-1", ([self, sep, most]) => splitFromRight(self as string, sep, most)),
  rstrip: define("chars=none", ([self, characters]) => strip(self as string, characters, "right")),
  split: define("sep=none maxsplit=-1", ([self, sep, most]) => split(self as string, sep, most)),
  splitlines: define("keepends=false", ([self, keeps]) => splitLines(self as string, keeps === true)),
  startswith: affix((value, prefix) => value.startsWith(prefix)),
  strip: define("chars=none", ([self, characters]) => strip(self as string, characters, "both")),
  swapcase: define("", ([self]) =>
    [...(self as string)].map((c) => (c === c.toLowerCase() ? c.toUpperCase() : c.toLowerCase())).join(""),
  ),
  title: define("", ([self]) => titled(self as string)),
  upper: define("", ([self]) => (self as string).toUpperCase()),
  zfill: define("width", ([self, width], { budget }) => pad(self as string, asIndex(width, "width"), "=", "0", budget)),
};
