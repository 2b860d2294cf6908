/** @file Numbers as Python reads them from text and rounds them. */
import { strip } from "./text-methods.ts";
import { asIndex, asNumber, isInteger, isNumber, isString, Undefined, undefinedError, type Value } from "./values.ts";

/** Python's `int(value, base)`, and `fallback` where it fails. */
export function toInteger(value: Value, fallback: Value, base: Value): Value {
  if (value instanceof Undefined) return undefinedError(value);
  if (isString(value)) {
    const text = strip(value, null, "both").replace(/(?<=\d)_(?=\d)/g, "");
    const radix = asIndex(base, "base");
    const digits = text.replace(/^([+-]?)0[xX]/, radix === 16 ? "$1" : "$&");
    const alphabet = "0123456789abcdefghijklmnopqrstuvwxyz".slice(0, radix);
    if (new RegExp(`^[+-]?[${alphabet}]+$`, "i").test(digits)) {
      const number = Number.parseInt(digits, radix);
      return Number.isSafeInteger(number) || radix !== 10 ? number : BigInt(digits);
    }
    const float = textToNumber(text);
    return float === null || !Number.isFinite(float) ? fallback : Math.trunc(float);
  }
  if (!isNumber(value)) return fallback;
  if (isInteger(value)) return value;
  const number = asNumber(value);
  return Number.isFinite(number) ? Math.trunc(number) + 0 : fallback;
}

export function textToNumber(value: string): number | null {
  const text = strip(value, null, "both");
  if (/^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/.test(text)) return Number(text);
  const special = /^([+-]?)(inf|infinity|nan)$/i.exec(text);
  if (!special) return null;
  return special[2]!.toLowerCase() === "nan" ? Number.NaN : special[1] === "-" ? -Infinity : Infinity;
}

/** To the even neighbour when halfway, as Python rounds. */
export function roundEven(value: number, digits: number): number {
  if (digits > 0) return Math.abs(value) < 1e15 ? exactRound(value, digits) : value;
  const scale = 10 ** -digits;
  const scaled = value / scale;
  const floor = Math.floor(scaled);
  const rest = scaled - floor;
  const whole = rest < 0.5 || (rest === 0.5 && floor % 2 === 0) ? floor : floor + 1;
  return whole * scale;
}

/** toFixed rounds the exact binary value; a tie, which is exact, goes to the even digit. */
function exactRound(value: number, digits: number): number {
  const scaled = value * 10 ** digits;
  const isTie =
    Math.abs(scaled) < 2 ** 50 &&
    scaled / 10 ** digits === value &&
    Math.abs(scaled % 1) === 0.5 &&
    Number.isInteger(value * 2 ** digits * 2);
  return isTie ? roundEven(scaled, 0) / 10 ** digits : Number(value.toFixed(Math.min(digits, 100)));
}
