/** @file Jinja's filters, and `tojson` as Transformers has it. */
import type { Budget } from "./budget.ts";
import { percentFormat } from "./format-text.ts";
import { roundEven, textToNumber, toInteger } from "./numbers.ts";
import { binary } from "./operators.ts";
import { str, toJson } from "./python-text.ts";
import { type Definition, define, type Engine } from "./signature.ts";
import { fail } from "./template-error.ts";
import { capitalize, replaceText, splitLines, strip, TEXT_METHODS } from "./text-methods.ts";
import {
  type Arguments,
  asFloat,
  asIndex,
  asNumber,
  compare,
  equals,
  Float,
  Generator,
  isDict,
  isInteger,
  isNumber,
  isString,
  isTrue,
  iterate,
  lengthOf,
  Tuple,
  textLength,
  typeName,
  Undefined,
  undefinedError,
  type Value,
} from "./values.ts";

/** Filters of Jinja that no prompt needs, or whose text depends on more than the template. */
export const CLOSED_FILTERS: ReadonlySet<string> = new Set([
  "filesizeformat",
  "pprint",
  "random",
  "striptags",
  "urlize",
  "wordwrap",
  "xmlattr",
]);

/** Reads `a.b.0` of a value; `none` reads nothing. */
function getter(attribute: Value, engine: Engine, fallback: Value = undefined): (value: Value) => Value {
  if (attribute === null || attribute === undefined) return (value) => value;
  const path = isString(attribute)
    ? attribute.split(".").map((part) => (/^\d+$/.test(part) ? Number(part) : part))
    : [attribute];
  return (value) =>
    path.reduce<Value>((object, part) => {
      engine.budget.spend(1);
      const found = engine.item(object, part);
      return found instanceof Undefined && fallback !== undefined && fallback !== null ? fallback : found;
    }, value);
}

/** What values are sorted and told apart by: text without its case, unless it counts. */
const caseless =
  (caseSensitive: Value) =>
  (value: Value): Value =>
    isString(value) && !isTrue(caseSensitive) ? value.toLowerCase() : value;

function sorted<T>(items: readonly T[], key: (item: T) => Value, reverse: boolean, engine: Engine): T[] {
  engine.budget.elements(items.length * 4);
  const keyed = items.map((item) => ({ item, key: key(item) }));
  keyed.sort((a, b) => {
    engine.budget.spend(1);
    return reverse ? compare(b.key, a.key, engine.budget) : compare(a.key, b.key, engine.budget);
  });
  return keyed.map(({ item }) => item);
}

const largest = (sign: number): Definition =>
  define("case_sensitive=false attribute=none", ([value, sensitive, attribute], engine) => {
    const items = iterate(value, engine.budget);
    if (items.length === 0) return new Undefined("No aggregated item, sequence was empty.");
    const of = getter(attribute, engine);
    const key = (item: Value): Value => caseless(sensitive)(of(item));
    return items.reduce((best, item) => (sign * compare(key(item), key(best), engine.budget) > 0 ? item : best));
  });

/** select, reject, selectattr and rejectattr */
function choose(byAttribute: boolean, keeps: boolean): Definition {
  return define("...", ([value, rest], engine) => {
    let { positional, named } = rest as Arguments;
    let of = (item: Value): Value => item;
    if (byAttribute) {
      if (positional.length === 0) fail("Missing parameter for attribute name");
      of = getter(positional[0], engine);
      positional = positional.slice(1);
    }
    const [name, ...args] = positional;
    const test = (item: Value): boolean =>
      name === undefined ? isTrue(item) : engine.test(testName(name), item, { positional: args, named });
    if (!isTrue(value)) return new Generator([]);
    return new Generator(iterate(value, engine.budget).filter((item) => test(of(item)) === keeps));
  });
}

const testName = (name: Value): string => (isString(name) ? name : fail("expected the name of a test"));

const map = define("...", ([value, rest], engine) => {
  const { positional, named } = rest as Arguments;
  if (!isTrue(value)) return new Generator([]);
  const items = iterate(value, engine.budget);
  if (positional.length === 0 && named.has("attribute")) {
    return new Generator(items.map(getter(named.get("attribute"), engine, named.get("default"))));
  }
  const [name, ...args] = positional;
  if (!isString(name)) return fail("map requires a filter argument");
  return new Generator(items.map((item) => engine.filter(name, item, { positional: args, named })));
});

const round = define("precision=0 method=common", ([value, precision, method]) => {
  if (!isNumber(value)) return value instanceof Undefined ? undefinedError(value) : fail("round: expected a number");
  const number = asNumber(value);
  const digits = asIndex(precision, "precision");
  const scale = 10 ** digits;
  if (method === "ceil") return asFloat(Math.ceil(number * scale) / scale);
  if (method === "floor") return asFloat(Math.floor(number * scale) / scale);
  if (method !== "common") fail("method must be common, ceil or floor");
  return isInteger(value) && digits >= 0 ? value : asFloat(roundEven(number, digits));
});

function spaces(count: number, budget: Budget): string {
  budget.text(Math.max(0, count));
  return " ".repeat(Math.max(0, count));
}

const indent = define("width=4 first=false blank=false", ([value, width, first, blank], { budget }) => {
  const text = isString(value)
    ? value
    : value instanceof Undefined
      ? undefinedError(value)
      : fail("indent: expected text");
  const space = isString(width) ? width : spaces(asIndex(width, "width"), budget);
  const lines = splitLines(`${text}\n`);
  budget.text(text.length + lines.length * space.length);
  const indented = lines.map((line, index) => (index === 0 || (line === "" && !isTrue(blank)) ? line : space + line));
  return (isTrue(first) ? space : "") + indented.join("\n");
});

const groupBy = define(
  "attribute default=none case_sensitive=false",
  ([value, attribute, fallback, sensitive], engine) => {
    const of = getter(attribute, engine, fallback);
    const key = (item: Value): Value => caseless(sensitive)(of(item));
    const groups: { key: Value; name: Value; items: Value[] }[] = [];
    for (const item of sorted(iterate(value, engine.budget), key, false, engine)) {
      const last = groups.at(-1);
      if (last && equals(last.key, key(item), engine.budget)) last.items.push(item);
      else groups.push({ key: key(item), name: of(item), items: [item] });
    }
    return groups.map(({ name, items }) => new Tuple([name, items]));
  },
);

/** Filters whose text keeps its markup while text is added to it. */
export const MARKUP_FILTERS: ReadonlySet<string> = new Set(["e", "escape", "forceescape", "safe"]);

export const KEEP_MARKUP: ReadonlySet<string> = new Set(["capitalize", "indent", "lower", "title", "trim", "upper"]);

export function escapeMarkup(value: Value, budget: Budget): string {
  const text = str(value, budget);
  budget.text(text.length);
  const names: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&#34;", "'": "&#39;" };
  return text.replace(/[&<>"']/g, (character) => names[character]!);
}

const tojson = define(
  "ensure_ascii=false indent=none separators=none sort_keys=false",
  ([value, asciiOnly, indentation, separators, sortsKeys], { budget }) => {
    let [itemSeparator, keySeparator] = [indentation === null ? ", " : ",", ": "];
    if (separators !== null) {
      const given = iterate(separators, budget);
      if (given.length !== 2 || !given.every(isString)) fail("separators: expected two texts");
      [itemSeparator, keySeparator] = given as [string, string];
    }
    const step =
      indentation === null
        ? null
        : isString(indentation)
          ? indentation
          : spaces(asIndex(indentation, "indent"), budget);
    return toJson(
      value,
      { asciiOnly: isTrue(asciiOnly), indent: step, itemSeparator, keySeparator, sortsKeys: isTrue(sortsKeys) },
      budget,
    );
  },
);

/** A filter that takes anything, as text, and is a method of str. */
const asMethod = (name: string): Definition => ({
  ...TEXT_METHODS[name]!,
  run: ([value, ...rest], engine) => TEXT_METHODS[name]!.run([str(value, engine.budget), ...rest], engine),
});

/** An attribute, never an item. */
function ownAttribute(value: Value, name: string, engine: Engine): Value {
  if (isDict(value) && value.has(name)) return engine.attribute(new Map(), name);
  return engine.attribute(value, name);
}

const length = define("", ([value]) => lengthOf(value));

export const FILTERS: Readonly<Record<string, Definition>> = {
  abs: define("", ([value]) => {
    if (!isNumber(value))
      return value instanceof Undefined
        ? undefinedError(value)
        : fail(`bad operand type for abs(): '${typeName(value)}'`);
    return value instanceof Float ? new Float(Math.abs(value.value)) : Math.abs(asNumber(value));
  }),
  attr: define("name", ([value, name], engine) => ownAttribute(value, testName(name), engine)),
  batch: define("linecount fill_with=none", ([value, count, fill], { budget }) => {
    const size = asIndex(count, "linecount");
    if (size < 1) fail("linecount: expected at least 1");
    const items = iterate(value, budget);
    const rows: Value[][] = [];
    for (let i = 0; i < items.length; i += size) rows.push(items.slice(i, i + size));
    const last = rows.at(-1);
    if (last && fill !== null) budget.elements(size);
    if (last && fill !== null) while (last.length < size) last.push(fill);
    return new Generator(rows);
  }),
  capitalize: define("", ([value], { budget }) => capitalize(str(value, budget))),
  center: define("width=80", ([value, width], engine) =>
    TEXT_METHODS["center"]!.run([str(value, engine.budget), width], engine),
  ),
  count: length,
  default: define("default_value='' boolean=false", ([value, fallback, boolean]) =>
    value instanceof Undefined || (isTrue(boolean) && !isTrue(value)) ? fallback : value,
  ),
  dictsort: define("case_sensitive=false by=key reverse=false", ([value, sensitive, by, reverse], engine) => {
    if (!isDict(value)) return value instanceof Undefined ? undefinedError(value) : fail("dictsort: expected a dict");
    if (by !== "key" && by !== "value") fail('You can only sort by either "key" or "value"');
    const entries = [...value].map((entry) => new Tuple(entry));
    return sorted(entries, ({ items }) => caseless(sensitive)(items[by === "key" ? 0 : 1]), isTrue(reverse), engine);
  }),
  escape: define("", ([value], engine) => escapeMarkup(value, engine.budget)),
  first: define("", ([value], { budget }) => {
    if (value instanceof Generator) return value.isDone ? noItem("first") : value.next();
    const items = iterate(value, budget);
    return items.length > 0 ? items[0] : noItem("first");
  }),
  float: define("default=0.0", ([value, fallback]) => {
    if (value instanceof Undefined) return undefinedError(value);
    if (isString(value)) {
      const number = textToNumber(value);
      return number === null ? fallback : asFloat(number);
    }
    return isNumber(value) ? asFloat(asNumber(value)) : fallback;
  }),
  forceescape: define("", ([value], engine) => escapeMarkup(value, engine.budget)),
  format: define("...", ([value, rest], { budget }) => {
    const { positional, named } = rest as Arguments;
    if (positional.length > 0 && named.size > 0) fail("can't handle positional and keyword arguments at the same time");
    return percentFormat(str(value, budget), named.size > 0 ? new Map(named) : new Tuple(positional), budget);
  }),
  groupby: groupBy,
  indent,
  int: define("default=0 base=10", ([value, fallback, base]) => toInteger(value, fallback, base)),
  items: define("", ([value]) => {
    if (value instanceof Undefined) return new Generator([]);
    if (!isDict(value)) return fail("Can only get item pairs from a mapping.");
    return new Generator(Array.from(value, (entry) => new Tuple(entry)));
  }),
  join: define("d='' attribute=none", ([value, separator, attribute], engine) => {
    const { budget } = engine;
    const of = getter(attribute, engine);
    const by = str(separator, budget);
    const parts = iterate(value, budget).map((item) => str(of(item), budget));
    budget.text(parts.reduce((sum, part) => sum + part.length + by.length, 0));
    return parts.join(by);
  }),
  last: define("", ([value], { budget }) => {
    if (value instanceof Generator) return fail("'generator' object is not reversible");
    const items = iterate(value, budget);
    return items.length > 0 ? items.at(-1) : noItem("last");
  }),
  length,
  list: define("", ([value], { budget }) => [...iterate(value, budget)]),
  lower: asMethod("lower"),
  map,
  max: largest(1),
  min: largest(-1),
  reject: choose(false, false),
  rejectattr: choose(true, false),
  replace: define("old new count=none", ([value, old, by, count], { budget }) => {
    const most = count === null ? -1 : asIndex(count, "count");
    return replaceText(str(value, budget), str(old, budget), str(by, budget), most, budget);
  }),
  reverse: define("", ([value], { budget }) => {
    if (isString(value)) return [...value].reverse().join("");
    return new Generator([...iterate(value, budget)].reverse());
  }),
  round,
  safe: define("", ([value], { budget }) => str(value, budget)),
  select: choose(false, true),
  selectattr: choose(true, true),
  slice: define("slices fill_with=none", ([value, slices, fill], { budget }) => {
    const items = iterate(value, budget);
    const count = asIndex(slices, "slices");
    if (count < 1) fail("slices: expected at least 1");
    budget.elements(count);
    const [size, longer] = [Math.floor(items.length / count), items.length % count];
    let at = 0;
    return new Generator(
      Array.from({ length: count }, (_, i) => {
        const row = items.slice(at, (at += size + (i < longer ? 1 : 0)));
        return fill !== null && i >= longer && longer > 0 ? [...row, fill] : row;
      }),
    );
  }),
  sort: define(
    "reverse=false case_sensitive=false attribute=none",
    ([value, reverse, sensitive, attribute], engine) => {
      // Several attributes with commas: by the first, then the next.
      const paths = isString(attribute) ? attribute.split(",") : [attribute];
      const getters = paths.map((path) => getter(path, engine));
      const fold = caseless(sensitive);
      const key = (item: Value): Value =>
        getters.length === 1 ? fold(getters[0]!(item)) : getters.map((of) => fold(of(item)));
      return sorted(iterate(value, engine.budget), key, isTrue(reverse), engine);
    },
  ),
  string: define("", ([value], { budget }) => str(value, budget)),
  sum: define("attribute=none start=0", ([value, attribute, start], engine) => {
    const of = getter(attribute, engine);
    return iterate(value, engine.budget).reduce((sum, item) => binary("+", sum, of(item), engine.budget), start);
  }),
  title: define("", ([value], { budget }) =>
    str(value, budget)
      .split(/([-\s([{<]+)/)
      .map((word) => capitalize(word))
      .join(""),
  ),
  tojson,
  trim: define("chars=none", ([value, characters], { budget }) => strip(str(value, budget), characters, "both")),
  truncate: define("length=255 killwords=false end=... leeway=none", ([value, size, kill, end, leeway], { budget }) => {
    const text = str(value, budget);
    const [limit, tail] = [asIndex(size, "length"), str(end, budget)];
    if (limit < textLength(tail)) fail(`expected length >= ${textLength(tail)}, got ${limit}`);
    if (textLength(text) <= limit + (leeway === null ? 5 : asIndex(leeway, "leeway"))) return text;
    const cut = [...text].slice(0, limit - textLength(tail)).join("");
    const space = cut.lastIndexOf(" ");
    return (isTrue(kill) || space < 0 ? cut : cut.slice(0, space)) + tail;
  }),
  unique: define("case_sensitive=false attribute=none", ([value, sensitive, attribute], engine) => {
    const of = getter(attribute, engine);
    const seen: Value[] = [];
    return new Generator(
      iterate(value, engine.budget).filter((item) => {
        const key = caseless(sensitive)(of(item));
        if (seen.some((other) => equals(other, key, engine.budget))) return false;
        seen.push(key);
        return true;
      }),
    );
  }),
  upper: asMethod("upper"),
  urlencode: define("", ([value], { budget }) => {
    const encode = (text: Value, kept: RegExp): string =>
      encodeURIComponent(str(text, budget))
        .replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`)
        .replace(kept, "/");
    if (isString(value) || !isDict(value)) return encode(value, /%2F/g);
    return [...value]
      .map((pair) => pair.map((text) => encode(text, /(?!)/).replaceAll("%20", "+")).join("="))
      .join("&");
  }),
  wordcount: define("", ([value], { budget }) => str(value, budget).match(/[\p{L}\p{N}_]+/gu)?.length ?? 0),
};

function noItem(which: string): Undefined {
  return new Undefined(`No ${which} item, sequence was empty.`);
}

export const FILTER_NAMES: Readonly<Record<string, string>> = { d: "default", e: "escape" };
