/**
 * @file The values of templates: Python's, as far as templates see them.
 *
 * None is null, str is string, bool is boolean, int is an integral number (or a bigint beyond 2^53), list is an array, dict is a Map.
 * A float is a number that is not integral, or a `Float`.
 */
import type { Budget } from "./budget.ts";
import { fail, TemplateError } from "./template-error.ts";

export type Value = unknown;

/** A float with an integral value, which Python prints as `2.0`. */
export class Float {
  readonly value: number;
  constructor(value: number) {
    this.value = value;
  }
}

/** A name that has no value, and why. */
export class Undefined {
  readonly message: string;
  constructor(message: string) {
    this.message = message;
  }
}

export class Tuple {
  readonly items: readonly Value[];
  constructor(items: readonly Value[]) {
    this.items = items;
  }
}

export class Range {
  readonly start: number;
  readonly step: number;
  readonly length: number;
  constructor(start: number, stop: number, step: number) {
    this.start = start;
    this.step = step;
    this.length = Math.max(0, Math.ceil((stop - start) / step));
  }

  at(index: number): number {
    return this.start + index * this.step;
  }

  toString(): string {
    const stop = this.start + this.length * this.step;
    return `range(${this.start}, ${stop}${this.step === 1 ? "" : `, ${this.step}`})`;
  }
}

/** Text that `safe` or `escape` gave, as long as it is added to: what is added to it is escaped. */
export class Markup {
  readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

/** What filters such as `map` and `select` give: it is true, has no length, and is empty once it was gone through. */
export class Generator {
  #items: readonly Value[];
  constructor(items: readonly Value[]) {
    this.#items = items;
  }

  take(): readonly Value[] {
    const items = this.#items;
    this.#items = [];
    return items;
  }

  next(): Value {
    const [first, ...rest] = this.#items;
    this.#items = rest;
    return first;
  }

  get isDone(): boolean {
    return this.#items.length === 0;
  }
}

/** dict.keys(), values() and items(). */
export class View {
  readonly kind: "keys" | "values" | "items";
  readonly dict: ReadonlyMap<Value, Value>;
  constructor(kind: "keys" | "values" | "items", dict: ReadonlyMap<Value, Value>) {
    this.kind = kind;
    this.dict = dict;
  }

  items(): Value[] {
    if (this.kind === "items") return Array.from(this.dict, (entry) => new Tuple(entry));
    return [...(this.kind === "keys" ? this.dict.keys() : this.dict.values())];
  }
}

export class Namespace {
  readonly attributes: Map<string, Value>;
  constructor(attributes: Iterable<readonly [string, Value]>) {
    this.attributes = new Map(attributes);
  }
}

export interface Arguments {
  readonly positional: readonly Value[];
  readonly named: ReadonlyMap<string, Value>;
}

/** A function, method or macro. `attributes` are what a template can read of it, such as a macro's `name`. */
export class Callable {
  readonly name: string;
  readonly call: (args: Arguments) => Value;
  readonly attributes: ReadonlyMap<string, Value>;
  constructor(name: string, call: (args: Arguments) => Value, attributes: ReadonlyMap<string, Value> = new Map()) {
    this.name = name;
    this.call = call;
    this.attributes = attributes;
  }
}

/** An object whose attributes are computed when they are read: `loop`, cyclers and the like. */
export class Computed {
  readonly type: string;
  readonly get: (name: string) => Value;
  readonly call: ((args: Arguments) => Value) | undefined;
  constructor(type: string, get: (name: string) => Value, call?: (args: Arguments) => Value) {
    this.type = type;
    this.get = get;
    this.call = call;
  }
}

export const isString = (value: Value): value is string => typeof value === "string";
export const isFloat = (value: Value): value is number | Float =>
  value instanceof Float || (typeof value === "number" && !Number.isInteger(value));
export const isInteger = (value: Value): value is number | bigint =>
  typeof value === "bigint" || (typeof value === "number" && Number.isInteger(value));
/** Numbers as Python sees them: bool is one. */
export const isNumber = (value: Value): boolean =>
  typeof value === "number" || typeof value === "bigint" || typeof value === "boolean" || value instanceof Float;
export const isDict = (value: Value): value is ReadonlyMap<Value, Value> => value instanceof Map;

export function asFloat(value: number): number | Float {
  return Number.isInteger(value) ? new Float(value) : value;
}

export function asNumber(value: Value): number {
  if (typeof value === "number") return value;
  if (value instanceof Float) return value.value;
  if (typeof value === "boolean" || typeof value === "bigint") return Number(value);
  if (value instanceof Undefined) return undefinedError(value);
  return fail(`expected a number, got ${typeName(value)}`);
}

/** An index, width or count. */
export function asIndex(value: Value, what: string): number {
  if (typeof value === "boolean") return Number(value);
  if (typeof value === "number" && Number.isInteger(value)) return value;
  if (value instanceof Undefined) return undefinedError(value);
  return fail(`${what}: expected an integer, got ${typeName(value)}`);
}

export function undefinedError(value: Undefined): never {
  throw new TemplateError("value", value.message);
}

/** The name of a value's type, as in Python's messages. */
export function typeName(value: Value): string {
  if (value === null) return "None";
  if (isString(value)) return "str";
  if (typeof value === "boolean") return "bool";
  if (isInteger(value)) return "int";
  if (isFloat(value)) return "float";
  if (Array.isArray(value)) return "list";
  if (value instanceof Tuple) return "tuple";
  if (isDict(value)) return "dict";
  if (value instanceof Range) return "range";
  if (value instanceof Generator) return "generator";
  if (value instanceof View) return `dict_${value.kind}`;
  if (value instanceof Namespace) return "Namespace";
  if (value instanceof Callable) return "function";
  if (value instanceof Undefined) return "Undefined";
  return value instanceof Computed ? value.type : "object";
}

export function isTrue(value: Value): boolean {
  if (typeof value === "boolean") return value;
  if (value === null || value === undefined || value instanceof Undefined) return false;
  if (typeof value === "number") return value !== 0;
  if (typeof value === "bigint") return value !== 0n;
  if (isString(value) || Array.isArray(value) || value instanceof Range) return value.length > 0;
  if (value instanceof Float) return value.value !== 0;
  if (value instanceof Tuple) return value.items.length > 0;
  if (isDict(value)) return value.size > 0;
  if (value instanceof View) return value.dict.size > 0;
  return true;
}

/** The elements in order, as a for loop sees them; null for what cannot be gone through. */
function elementsOf(value: Value): readonly Value[] | null {
  if (Array.isArray(value)) return value;
  if (isString(value)) return [...value];
  if (value instanceof Tuple) return value.items;
  if (isDict(value)) return [...value.keys()];
  if (value instanceof Range) return Array.from({ length: value.length }, (_, i) => value.at(i));
  if (value instanceof Generator) return value.take();
  if (value instanceof View) return value.items();
  if (value instanceof Undefined) return [];
  return null;
}

export function iterate(value: Value, budget: Budget): readonly Value[] {
  if (isString(value)) budget.elements(value.length);
  const elements = elementsOf(value) ?? fail(`'${typeName(value)}' object is not iterable`);
  budget.elements(elements.length);
  return elements;
}

/** Number of code points. */
export function textLength(text: string): number {
  let length = text.length;
  for (let i = 0; i < text.length - 1; i++) {
    const unit = text.charCodeAt(i);
    if (unit >= 0xd800 && unit < 0xdc00 && (text.charCodeAt(i + 1) & 0xfc00) === 0xdc00) {
      length--;
      i++;
    }
  }
  return length;
}

export function lengthOf(value: Value): number {
  if (isString(value)) return textLength(value);
  if (Array.isArray(value) || value instanceof Range) return value.length;
  if (value instanceof Tuple) return value.items.length;
  if (isDict(value)) return value.size;
  if (value instanceof View) return value.dict.size;
  if (value instanceof Undefined) return 0;
  if (value instanceof Computed) {
    const length = value.get("length");
    if (typeof length === "number") return length;
  }
  return fail(`object of type '${typeName(value)}' has no len()`);
}

/** What a dict finds a value under: equal numbers are one key. */
export function dictKey(key: Value): Value {
  if (key instanceof Float) return key.value;
  if (key === null || isString(key) || typeof key === "number" || typeof key === "boolean" || typeof key === "bigint") {
    return key;
  }
  return fail(`unhashable type: '${typeName(key)}'`);
}

export function equals(a: Value, b: Value, budget: Budget): boolean {
  budget.spend(1);
  if (a === b) return !(typeof a === "number" && Number.isNaN(a));
  if (isNumber(a) && isNumber(b)) {
    return typeof a === "bigint" && typeof b === "bigint" ? a === b : asNumber(a) === asNumber(b);
  }
  if (a instanceof Undefined) return b instanceof Undefined;
  if (Array.isArray(a)) return Array.isArray(b) && sameElements(a, b, budget);
  if (a instanceof Tuple) return b instanceof Tuple && sameElements(a.items, b.items, budget);
  if (a instanceof Range) return b instanceof Range && sameElements(elementsOf(a)!, elementsOf(b)!, budget);
  if (isDict(a)) {
    return (
      isDict(b) && a.size === b.size && [...a].every(([key, value]) => b.has(key) && equals(value, b.get(key), budget))
    );
  }
  return false;
}

function sameElements(a: readonly Value[], b: readonly Value[], budget: Budget): boolean {
  return a.length === b.length && a.every((element, i) => equals(element, b[i], budget));
}

/** Negative, zero or positive, as Python orders; an error for values that have no order. */
export function compare(a: Value, b: Value, budget: Budget, operator = "<"): number {
  if (isNumber(a) && isNumber(b)) return asNumber(a) - asNumber(b);
  if (isString(a) && isString(b)) return compareText(a, b);
  const [x, y] = Array.isArray(a) && Array.isArray(b) ? [a, b] : [itemsOf(a), itemsOf(b)];
  if (x && y) {
    for (let i = 0; i < Math.min(x.length, y.length); i++) {
      if (!equals(x[i], y[i], budget)) return compare(x[i], y[i], budget, operator);
    }
    return x.length - y.length;
  }
  if (a instanceof Undefined) return undefinedError(a);
  if (b instanceof Undefined) return undefinedError(b);
  return fail(`'${operator}' not supported between instances of '${typeName(a)}' and '${typeName(b)}'`);
}

const itemsOf = (value: Value): readonly Value[] | null => (value instanceof Tuple ? value.items : null);

/** By code points, where UTF-16 has surrogates below U+E000. */
function compareText(a: string, b: string): number {
  for (let i = 0; i < Math.min(a.length, b.length); i++) {
    if (a.charCodeAt(i) !== b.charCodeAt(i)) {
      const [x, y] = [a.charCodeAt(i), b.charCodeAt(i)];
      const isSurrogate = (unit: number) => unit >= 0xd800 && unit < 0xe000;
      return isSurrogate(x) === isSurrogate(y) ? x - y : isSurrogate(x) ? 1 : -1;
    }
  }
  return a.length - b.length;
}

export function contains(container: Value, value: Value, budget: Budget): boolean {
  if (isString(container)) {
    if (!isString(value)) {
      if (value instanceof Undefined) return undefinedInText();
      return fail(`'in <string>' requires string as left operand, not ${typeName(value)}`);
    }
    budget.text(container.length);
    return container.includes(value);
  }
  if (isDict(container)) return container.has(dictKey(value));
  return iterate(container, budget).some((element) => equals(element, value, budget));
}

function undefinedInText(): never {
  return fail("'in <string>' requires string as left operand, not Undefined");
}

const MAX_INPUT_DEPTH = 200;

/** A caller's values as a template's: objects become dicts, missing ones None. */
export function fromHost(value: unknown, budget: Budget, depth = 0): Value {
  if (depth > MAX_INPUT_DEPTH) throw new TemplateError("limit", `values are nested more than ${MAX_INPUT_DEPTH} deep`);
  budget.spend(1);
  if (value === undefined || value === null) return null;
  if (isString(value)) {
    budget.text(value.length);
    return value;
  }
  if (typeof value !== "object" || value instanceof Float || value instanceof Callable) return value;
  if (Array.isArray(value)) return value.map((element) => fromHost(element, budget, depth + 1));
  const entries = value instanceof Map ? value : Object.entries(value).filter(([, member]) => member !== undefined);
  const dict = new Map<Value, Value>();
  for (const [key, member] of entries) dict.set(key, fromHost(member, budget, depth + 1));
  return dict;
}
