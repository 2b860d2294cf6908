/** @file Attributes and methods of values. What changes a list or dict is closed to templates, as in Jinja's sandbox. */
import { apply, type Definition, define, type Engine } from "./signature.ts";
import { fail, TemplateError } from "./template-error.ts";
import { TEXT_METHODS } from "./text-methods.ts";
import {
  asIndex,
  Callable,
  Computed,
  dictKey,
  equals,
  isDict,
  isFloat,
  isInteger,
  isString,
  Namespace,
  Range,
  Tuple,
  textLength,
  typeName,
  Undefined,
  undefinedError,
  type Value,
  View,
} from "./values.ts";

const itemsOf = (self: Value): readonly Value[] => (self instanceof Tuple ? self.items : (self as Value[]));

const SEQUENCE: Readonly<Record<string, Definition>> = {
  count: define(
    "value",
    ([self, value], { budget }) => itemsOf(self).filter((item) => equals(item, value, budget)).length,
  ),
  index: define("value", ([self, value], { budget }) => {
    const at = itemsOf(self).findIndex((item) => equals(item, value, budget));
    return at < 0 ? fail("the value is not in the list") : at;
  }),
};

const LIST: Readonly<Record<string, Definition>> = { ...SEQUENCE, copy: define("", ([self]) => [...itemsOf(self)]) };

type Dict = ReadonlyMap<Value, Value>;

const DICT: Readonly<Record<string, Definition>> = {
  copy: define("", ([self]) => new Map(self as Dict)),
  get: define("key default=none", ([self, key, fallback]) => {
    const dict = self as Dict;
    return dict.has(dictKey(key)) ? dict.get(dictKey(key)) : fallback;
  }),
  items: define("", ([self]) => new View("items", self as Dict)),
  keys: define("", ([self]) => new View("keys", self as Dict)),
  values: define("", ([self]) => new View("values", self as Dict)),
};

const FLOAT: Readonly<Record<string, Definition>> = {
  is_integer: define("", ([self]) => typeof self !== "number"),
};

/** Methods of Python that a template may not call, or that are not here. */
const CLOSED: Readonly<Record<string, ReadonlySet<string>>> = {
  list: new Set(["append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort"]),
  dict: new Set(["clear", "fromkeys", "pop", "popitem", "setdefault", "update"]),
  str: new Set(["encode", "expandtabs", "format_map", "maketrans", "translate"]),
};

function methodsOf(value: Value): Readonly<Record<string, Definition>> | null {
  if (isString(value)) return TEXT_METHODS;
  if (Array.isArray(value)) return LIST;
  if (value instanceof Tuple) return SEQUENCE;
  if (isDict(value)) return DICT;
  return isFloat(value) ? FLOAT : null;
}

function method(object: Value, name: string, engine: Engine): Callable | null {
  const methods = methodsOf(object);
  if (methods && Object.hasOwn(methods, name)) {
    const definition = methods[name]!;
    return new Callable(name, (args) => apply(`${name}()`, definition, [object], args, engine));
  }
  const type = typeName(object);
  if (CLOSED[type]?.has(name)) {
    return new Callable(name, () => {
      throw new TemplateError("missing", `the method ${type}.${name} is not open to templates`);
    });
  }
  return null;
}

/** object.name: an attribute first, then an item. */
export function getAttribute(object: Value, name: string, engine: Engine): Value {
  if (object instanceof Undefined) return undefinedError(object);
  if (object instanceof Namespace)
    return object.attributes.has(name) ? object.attributes.get(name) : missing(object, name);
  if (object instanceof Computed) return object.get(name) ?? missing(object, name);
  if (object instanceof Callable) return object.attributes.get(name) ?? missing(object, name);
  return (
    method(object, name, engine) ?? (isDict(object) && object.has(name) ? object.get(name) : missing(object, name))
  );
}

/** object[index]: an item first, then an attribute. */
export function getItem(object: Value, index: Value, engine: Engine): Value {
  if (object instanceof Undefined) return undefinedError(object);
  if (isDict(object)) {
    if (!(index instanceof Undefined) && isHashable(index) && object.has(dictKey(index)))
      return object.get(dictKey(index));
  } else if (isInteger(index) || typeof index === "boolean") {
    const at = elementAt(object, asIndex(index, "index"), engine);
    if (at !== undefined) return at;
  }
  if (isString(index))
    return isDict(object)
      ? (method(object, index, engine) ?? missing(object, index))
      : getAttribute(object, index, engine);
  return missing(object, index);
}

const isHashable = (value: Value): boolean => value === null || typeof value !== "object" || isFloat(value);

function elementAt(object: Value, index: number, { budget }: Engine): Value {
  if (isString(object)) {
    budget.text(object.length);
    const length = textLength(object);
    const at = index < 0 ? index + length : index;
    return length === object.length ? object[at] : [...object][at];
  }
  if (object instanceof Range) {
    const at = index < 0 ? index + object.length : index;
    return at >= 0 && at < object.length ? object.at(at) : undefined;
  }
  const items = Array.isArray(object) ? object : object instanceof Tuple ? object.items : null;
  return items?.[index < 0 ? index + items.length : index];
}

function missing(object: Value, name: Value): Undefined {
  const what = object === null ? "None" : `${typeName(object)} object`;
  return new Undefined(
    isString(name) ? `'${what}' has no attribute '${name}'` : `${what} has no element ${String(name)}`,
  );
}
