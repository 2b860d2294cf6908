/** @file Jinja's tests: `value is name(arguments)`. */
import { FILTER_NAMES, FILTERS } from "./filters.ts";
import { compares } from "./operators.ts";
import { str } from "./python-text.ts";
import { type Definition, define } from "./signature.ts";
import { fail } from "./template-error.ts";
import { TEXT_METHODS } from "./text-methods.ts";
import {
  asNumber,
  Callable,
  Computed,
  contains,
  Float,
  Generator,
  isDict,
  isFloat,
  isInteger,
  isNumber,
  isString,
  Range,
  Tuple,
  Undefined,
  undefinedError,
  type Value,
  View,
} from "./values.ts";

const is = (test: (value: Value) => boolean): Definition => define("", ([value]) => test(value));
const comparison = (operator: string): Definition =>
  define("other", ([value, other], { budget }) => compares(operator, value, other, budget));

function remainder(value: Value, by: Value): number {
  if (value instanceof Undefined) return undefinedError(value);
  if (!isNumber(value) || !isNumber(by)) return fail("not all arguments converted during string formatting");
  if (asNumber(by) === 0) fail("integer modulo by zero");
  return Math.abs(asNumber(value) % asNumber(by));
}

const isIterable = (value: Value): boolean => isSequence(value) || value instanceof Generator || value instanceof View;
/** What has a length and elements by index or key. */
const isSequence = (value: Value): boolean =>
  isString(value) ||
  Array.isArray(value) ||
  value instanceof Tuple ||
  isDict(value) ||
  value instanceof Range ||
  value instanceof Undefined;

const cased = (method: string): Definition =>
  define("", ([value], engine) => TEXT_METHODS[method]!.run([str(value, engine.budget)], engine));

const same = (a: Value, b: Value): boolean =>
  Object.is(a, b) || (a instanceof Float && b instanceof Float && a.value === b.value);

const [eq, ne, lt, le, gt, ge] = ["==", "!=", "<", "<=", ">", ">="].map(comparison) as [
  Definition,
  Definition,
  Definition,
  Definition,
  Definition,
  Definition,
];

/** Sets of names are asked when a template runs, because tests and filters ask each other. */
const known = (names: () => object, aliases: object = {}): Definition =>
  define("", ([name]) => isString(name) && (Object.hasOwn(names(), name) || Object.hasOwn(aliases, name)));

export const TESTS: Readonly<{ [name: string]: Definition }> = {
  "!=": ne,
  "<": lt,
  "<=": le,
  "==": eq,
  ">": gt,
  ">=": ge,
  boolean: is((value) => typeof value === "boolean"),
  callable: is((value) => value instanceof Callable || (value instanceof Computed && value.call !== undefined)),
  defined: is((value) => !(value instanceof Undefined)),
  divisibleby: define("num", ([value, by]) => remainder(value, by) === 0),
  eq,
  equalto: eq,
  escaped: is(() => false),
  even: define("", ([value]) => remainder(value, 2) === 0),
  false: is((value) => value === false),
  filter: known(() => FILTERS, FILTER_NAMES),
  float: is(isFloat),
  ge,
  greaterthan: gt,
  gt,
  in: define("seq", ([value, container], { budget }) => contains(container, value, budget)),
  integer: is(isInteger),
  iterable: is(isIterable),
  le,
  lessthan: lt,
  lower: cased("islower"),
  lt,
  mapping: is(isDict),
  ne,
  none: is((value) => value === null),
  number: is(isNumber),
  odd: define("", ([value]) => remainder(value, 2) === 1),
  sameas: define("other", ([value, other]) => same(value, other)),
  sequence: is(isSequence),
  string: is(isString),
  test: known(() => TESTS),
  true: is((value) => value === true),
  undefined: is((value) => value instanceof Undefined),
  upper: cased("isupper"),
};
