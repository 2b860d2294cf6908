/** @file `"%s" % value` and `"{}".format(value)`. */
import type { Budget } from "./budget.ts";
import { floatText, repr, str } from "./python-text.ts";
import { fail } from "./template-error.ts";
import {
  type Arguments,
  asNumber,
  isDict,
  isFloat,
  isInteger,
  isNumber,
  isString,
  Tuple,
  textLength,
  typeName,
  Undefined,
  undefinedError,
  type Value,
} from "./values.ts";

const DIRECTIVE =
  /%(?:\((?<key>[^)]*)\))?(?<flags>[-+ #0]*)(?<width>\*|\d+)?(?:\.(?<precision>\*|\d+))?[hlL]?(?<type>[\s\S]?)/g;

export function percentFormat(format: string, values: Value, budget: Budget): string {
  budget.text(format.length);
  const list = values instanceof Tuple ? values.items : [values];
  let next = 0;
  let usesKeys = false;
  const take = (): Value => (next < list.length ? list[next++] : fail("not enough arguments for format string"));
  const text = format.replace(DIRECTIVE, (...found: unknown[]) => {
    const {
      key,
      flags = "",
      width,
      precision,
      type,
    } = found.at(-1) as Readonly<{ [part: string]: string | undefined }>;
    if (type === "%") return "%";
    const count = (part: string | undefined): number | undefined =>
      part === undefined ? undefined : part === "*" ? asNumber(take()) : Number(part);
    const [size, digits] = [count(width), count(precision)];
    let value: Value;
    if (key === undefined) value = take();
    else {
      usesKeys = true;
      if (!isDict(values)) fail("format requires a mapping");
      value = (values as ReadonlyMap<Value, Value>).get(key) ?? fail(`KeyError: '${key}'`);
    }
    const piece = percentValue(type ?? "", value, digits, flags, budget);
    const zeros = flags.includes("0") && !flags.includes("-") && isNumber(value) && type !== "s" && type !== "r";
    return pad(piece, size ?? 0, zeros ? "=" : flags.includes("-") ? "<" : ">", zeros ? "0" : " ", budget);
  });
  if (next < list.length && !usesKeys && !(list.length === 1 && isDict(values))) {
    fail("not all arguments converted during string formatting");
  }
  budget.text(text.length);
  return text;
}

function percentValue(type: string, value: Value, digits: number | undefined, flags: string, budget: Budget): string {
  const sign = flags.includes("+") ? "+" : flags.includes(" ") ? " " : "-";
  const cut = (text: string): string => (digits === undefined ? text : [...text].slice(0, digits).join(""));
  switch (type) {
    case "s":
      return cut(str(value, budget));
    case "r":
      return cut(repr(value, budget));
    case "d":
    case "i":
    case "u":
      if (!isNumber(value)) fail(`%${type} format: a real number is required, not ${typeName(value)}`);
      return numberText(Math.trunc(asNumber(value)), "d", undefined, sign);
    case "c":
      return isString(value) ? value : String.fromCodePoint(asNumber(value));
    case "x":
    case "X":
    case "o":
      if (!isInteger(value) && typeof value !== "boolean")
        fail(`%${type} format: an integer is required, not ${typeName(value)}`);
      return numberText(asNumber(value), type, undefined, sign, flags.includes("#"));
    case "e":
    case "E":
    case "f":
    case "F":
    case "g":
    case "G":
      if (!isNumber(value)) fail(`must be real number, not ${typeName(value)}`);
      return numberText(asNumber(value), type, digits, sign);
    default:
      return fail(`unsupported format character '${type}'`);
  }
}

/** str.format */
export function braceFormat(
  format: string,
  args: Arguments,
  lookUp: (object: Value, key: string, isItem: boolean) => Value,
  budget: Budget,
): string {
  let automatic = 0;
  const text = format.replace(/\{\{|\}\}|\{([^{}]*)\}|[{}]/g, (whole, inside: string | undefined) => {
    if (whole === "{{" || whole === "}}") return whole[0]!;
    if (inside === undefined) return fail(`Single '${whole}' encountered in format string`);
    const [, field = "", conversion, spec = ""] =
      /^([^!:]*)(?:!([rsa]))?(?::([\s\S]*))?$/.exec(inside) ?? fail(`bad format field {${inside}}`);
    const [, name = "", path = ""] = /^([^.[]*)([\s\S]*)$/.exec(field)!;
    let value: Value;
    if (name === "" || /^\d+$/.test(name)) {
      const index = name === "" ? automatic++ : Number(name);
      if (index >= args.positional.length) fail(`Replacement index ${index} out of range for positional args tuple`);
      value = args.positional[index];
    } else value = args.named.has(name) ? args.named.get(name) : fail(`KeyError: '${name}'`);
    for (const [, attribute, item] of path.matchAll(/\.([^.[]+)|\[([^\]]+)\]/g)) {
      value = lookUp(value, attribute ?? item!, attribute === undefined);
    }
    if (conversion) value = conversion === "s" ? str(value, budget) : repr(value, budget);
    return formatSpec(value, spec, budget);
  });
  budget.text(text.length);
  return text;
}

const SPEC = /^(?:([\s\S])?([<>=^]))?([-+ ])?(#)?(0)?(\d+)?([,_])?(?:\.(\d+))?([bcdeEfFgGnosxX%])?$/u;

function formatSpec(value: Value, spec: string, budget: Budget): string {
  if (value instanceof Undefined) return undefinedError(value);
  if (spec === "") return str(value, budget);
  const parts = SPEC.exec(spec) ?? fail(`Invalid format specifier '${spec}'`);
  const [, fill, align, sign = "-", alternate, zero, width, group, precision, type] = parts;
  const digits = precision === undefined ? undefined : Number(precision);
  let text: string;
  let isNumeric = false;
  if (isNumber(value) && (typeof value !== "boolean" || type !== undefined) && type !== "s") {
    isNumeric = true;
    const number = asNumber(value);
    const kind = type ?? (isFloat(value) ? (digits === undefined ? "repr" : "g") : "d");
    text =
      kind === "repr"
        ? (number >= 0 && sign !== "-" ? sign : "") + floatText(number)
        : kind === "%"
          ? `${numberText(number * 100, "f", digits, sign)}%`
          : numberText(number, kind, digits, sign, alternate === "#");
    if (group) text = text.replace(/\d+/, (whole) => whole.replace(/\B(?=(\d{3})+$)/g, group));
  } else {
    if (type !== undefined && type !== "s")
      fail(`Unknown format code '${type}' for object of type '${typeName(value)}'`);
    text = str(value, budget);
    if (digits !== undefined) text = [...text].slice(0, digits).join("");
  }
  const direction = (align as "<" | undefined) ?? (zero && isNumeric ? "=" : isNumeric ? ">" : "<");
  return pad(text, Number(width ?? 0), direction, fill ?? (zero ? "0" : " "), budget);
}

function numberText(value: number, type: string, digits: number | undefined, sign: string, alternate = false): string {
  const magnitude = Math.abs(value);
  const isNegative = value < 0 || Object.is(value, -0);
  let text: string;
  switch (type) {
    case "d":
    case "n":
      text = String(BigInt(magnitude));
      break;
    case "x":
    case "X":
      text = (alternate ? "0x" : "") + magnitude.toString(16);
      break;
    case "o":
      text = (alternate ? "0o" : "") + magnitude.toString(8);
      break;
    case "b":
      text = (alternate ? "0b" : "") + magnitude.toString(2);
      break;
    case "e":
    case "E":
      text = exponential(magnitude.toExponential(Math.min(digits ?? 6, 100)));
      break;
    case "g":
    case "G":
      text = general(magnitude, digits ?? 6);
      break;
    default:
      text = magnitude.toFixed(Math.min(digits ?? 6, 100));
  }
  if (type === "X" || type === "E" || type === "G") text = text.toUpperCase();
  return (isNegative ? "-" : sign === "-" ? "" : sign) + text;
}

const exponential = (text: string): string => text.replace(/e([+-])(\d)$/, "e$10$2");

function general(value: number, digits: number): string {
  const precision = Math.min(Math.max(digits, 1), 100);
  const exponent = value === 0 ? 0 : Number(value.toExponential(precision - 1).split("e")[1]);
  if (exponent < -4 || exponent >= precision) {
    return exponential(value.toExponential(precision - 1).replace(/\.?0+e/, "e"));
  }
  const text = value.toFixed(Math.max(0, precision - 1 - exponent));
  return text.includes(".") ? text.replace(/\.?0+$/, "") : text;
}

/** `=` puts the filling between the sign and the digits. */
export function pad(text: string, width: number, align: string, fill: string, budget: Budget): string {
  const missing = width - textLength(text);
  if (missing <= 0) return text;
  budget.text(width);
  if (align === "<") return text + fill.repeat(missing);
  if (align === ">") return fill.repeat(missing) + text;
  if (align === "=") {
    const sign = /^[-+ ]/.exec(text)?.[0] ?? "";
    return sign + fill.repeat(missing) + text.slice(sign.length);
  }
  const left = missing >> 1;
  return fill.repeat(left) + text + fill.repeat(missing - left);
}
