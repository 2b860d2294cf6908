/** @file Values as text, as Python writes them: str(), repr() and json.dumps(). */
import { Budget } from "./budget.ts";
import { fail, TemplateError } from "./template-error.ts";
import {
  Callable,
  Computed,
  Float,
  fromHost,
  Generator,
  isDict,
  isFloat,
  isString,
  Namespace,
  Range,
  Tuple,
  typeName,
  Undefined,
  type Value,
  View,
} from "./values.ts";

const MAX_DEPTH = 400;

export function floatText(value: number): string {
  if (Number.isNaN(value)) return "nan";
  if (!Number.isFinite(value)) return value > 0 ? "inf" : "-inf";
  if (value === 0) return Object.is(value, -0) ? "-0.0" : "0.0";
  const [digits, power] = value.toExponential().split("e") as [string, string];
  const exponent = Number(power);
  if (exponent < -4 || exponent >= 16) {
    return `${digits}e${exponent < 0 ? "-" : "+"}${String(Math.abs(exponent)).padStart(2, "0")}`;
  }
  const text =
    exponent < 0 ? value.toFixed(Math.max(0, digits.replace(/[-.]/g, "").length - 1 - exponent)) : String(value);
  return text.includes(".") ? text : `${text}.0`;
}

/** Characters that repr() writes out: separators, controls, unassigned and private ones. */
const UNPRINTABLE = /[^\P{C}]|[\p{Z}]/u;

function quoted(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  let out = quote;
  for (const character of text) {
    const code = character.codePointAt(0)!;
    if (character === quote || character === "\\") out += `\\${character}`;
    else if (character === "\n") out += "\\n";
    else if (character === "\r") out += "\\r";
    else if (character === "\t") out += "\\t";
    else if (character !== " " && UNPRINTABLE.test(character)) {
      if (code < 0x100) out += `\\x${code.toString(16).padStart(2, "0")}`;
      else if (code < 0x10000) out += `\\u${code.toString(16).padStart(4, "0")}`;
      else out += `\\U${code.toString(16).padStart(8, "0")}`;
    } else out += character;
  }
  return out + quote;
}

/** What `{{ value }}` prints. */
export function str(value: Value, budget: Budget): string {
  if (isString(value)) return value;
  if (value instanceof Undefined) return "";
  return repr(value, budget);
}

export function repr(value: Value, budget: Budget, depth = 0): string {
  if (depth > MAX_DEPTH) throw new TemplateError("limit", `values are nested more than ${MAX_DEPTH} deep`);
  budget.spend(1);
  const all = (values: readonly Value[]): string => {
    const text = values.map((item) => repr(item, budget, depth + 1)).join(", ");
    budget.text(text.length);
    return text;
  };
  if (isString(value)) {
    budget.text(value.length);
    return quoted(value);
  }
  if (value === null) return "None";
  if (typeof value === "boolean") return value ? "True" : "False";
  if (value instanceof Float) return floatText(value.value);
  if (typeof value === "number") return isFloat(value) ? floatText(value) : integerText(value);
  if (typeof value === "bigint") return String(value);
  if (Array.isArray(value)) return `[${all(value)}]`;
  if (value instanceof Tuple) return `(${all(value.items)}${value.items.length === 1 ? "," : ""})`;
  if (isDict(value)) {
    const members = [...value].map(
      ([key, member]) => `${repr(key, budget, depth + 1)}: ${repr(member, budget, depth + 1)}`,
    );
    const text = `{${members.join(", ")}}`;
    budget.text(text.length);
    return text;
  }
  if (value instanceof Undefined) return "Undefined";
  if (value instanceof Range) return value.toString();
  if (value instanceof View) return `dict_${value.kind}([${all(value.items())}])`;
  if (value instanceof Namespace) return `<Namespace ${repr(value.attributes, budget, depth + 1)}>`;
  // Python prints an address here, so no model was trained on it.
  if (value instanceof Generator || value instanceof Callable || value instanceof Computed) {
    return fail(`a ${typeName(value)} cannot be printed; apply a filter such as list or join`);
  }
  return fail(`a ${typeName(value)} cannot be printed`);
}

const integerText = (value: number): string => (Number.isSafeInteger(value) ? String(value) : String(BigInt(value)));

export interface JsonStyle {
  readonly asciiOnly: boolean;
  /** Text that a level is indented by; null for one line. */
  readonly indent: string | null;
  readonly itemSeparator: string;
  readonly keySeparator: string;
  readonly sortsKeys: boolean;
}

/** Written out in JSON by Python too; JSON.stringify would also write halves of surrogate pairs out. */
const JSON_ESCAPED = /["\\\p{Cc}]/gu;

function jsonString(text: string, asciiOnly: boolean): string {
  const escaped = text.replace(JSON_ESCAPED, (character) => JSON.stringify(character).slice(1, -1));
  if (!asciiOnly) return `"${escaped}"`;
  return `"${escaped.replace(/[\u007f-\uffff]/g, (unit) => (unit === "\x7f" ? unit : `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`))}"`;
}

/** json.dumps() */
export function toJson(value: Value, style: JsonStyle, budget: Budget, depth = 0): string {
  if (depth > MAX_DEPTH) throw new TemplateError("limit", `values are nested more than ${MAX_DEPTH} deep`);
  budget.spend(1);
  if (value === null) return "null";
  if (isString(value)) {
    budget.text(value.length);
    return jsonString(value, style.asciiOnly);
  }
  if (typeof value === "boolean") return value ? "true" : "false";
  if (isFloat(value)) {
    const text = floatText(value instanceof Float ? value.value : value);
    return { nan: "NaN", inf: "Infinity", "-inf": "-Infinity" }[text] ?? text;
  }
  if (typeof value === "number" || typeof value === "bigint") return repr(value, budget);
  const around = (open: string, close: string, parts: readonly string[]): string => {
    if (parts.length === 0) return open + close;
    const line = style.indent === null ? "" : `\n${style.indent.repeat(depth + 1)}`;
    const last = style.indent === null ? "" : `\n${style.indent.repeat(depth)}`;
    budget.text(line.length * parts.length);
    const text = open + line + parts.join(style.itemSeparator + line) + last + close;
    budget.text(text.length);
    return text;
  };
  if (Array.isArray(value) || value instanceof Tuple) {
    const items: readonly Value[] = Array.isArray(value) ? value : value.items;
    return around(
      "[",
      "]",
      items.map((item) => toJson(item, style, budget, depth + 1)),
    );
  }
  if (isDict(value)) {
    const entries = [...value].map(([key, member]) => [jsonKey(key, budget), member] as const);
    if (style.sortsKeys) entries.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
    return around(
      "{",
      "}",
      entries.map(
        ([key, member]) =>
          jsonString(key, style.asciiOnly) + style.keySeparator + toJson(member, style, budget, depth + 1),
      ),
    );
  }
  return fail(`Object of type ${typeName(value)} is not JSON serializable`);
}

/** A caller's value as json.dumps writes it on one line. */
export function jsonText(value: unknown): string {
  const budget = new Budget();
  const style = { asciiOnly: false, indent: null, itemSeparator: ", ", keySeparator: ": ", sortsKeys: false };
  return toJson(fromHost(value, budget), style, budget);
}

function jsonKey(key: Value, budget: Budget): string {
  if (isString(key)) return key;
  if (key === null) return "null";
  if (typeof key === "boolean") return key ? "true" : "false";
  return repr(key, budget);
}
