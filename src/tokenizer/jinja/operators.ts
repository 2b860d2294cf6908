/** @file Operators on values, as Python has them. */
import type { Budget } from "./budget.ts";
import { percentFormat } from "./format-text.ts";
import { fail } from "./template-error.ts";
import {
  asFloat,
  asIndex,
  asNumber,
  compare,
  contains,
  equals,
  isFloat,
  isNumber,
  isString,
  Range,
  Tuple,
  typeName,
  Undefined,
  undefinedError,
  type Value,
} from "./values.ts";

export function binary(operator: string, left: Value, right: Value, budget: Budget): Value {
  if (operator === "%" && isString(left)) return percentFormat(left, right, budget);
  if (left instanceof Undefined) return undefinedError(left);
  if (right instanceof Undefined) return undefinedError(right);
  if (isNumber(left) && isNumber(right)) return arithmetic(operator, left, right);
  if (operator === "+") {
    if (isString(left) && isString(right)) {
      budget.text(left.length + right.length);
      return left + right;
    }
    if (Array.isArray(left) && Array.isArray(right)) {
      budget.elements(left.length + right.length);
      return [...left, ...right];
    }
    if (left instanceof Tuple && right instanceof Tuple) return new Tuple([...left.items, ...right.items]);
    if (isString(left)) return fail(`can only concatenate str (not "${typeName(right)}") to str`);
  }
  if (operator === "*") {
    if (isNumber(right) && !isFloat(right)) return repeat(left, right, budget) ?? unsupported(operator, left, right);
    if (isNumber(left) && !isFloat(left)) return repeat(right, left, budget) ?? unsupported(operator, left, right);
  }
  return unsupported(operator, left, right);
}

function unsupported(operator: string, left: Value, right: Value): never {
  return fail(`unsupported operand type(s) for ${operator}: '${typeName(left)}' and '${typeName(right)}'`);
}

function repeat(value: Value, times: Value, budget: Budget): Value | null {
  const count = Math.max(0, asIndex(times, "repetition"));
  if (isString(value)) {
    budget.text(value.length * count);
    return value.repeat(count);
  }
  const items = Array.isArray(value) ? value : value instanceof Tuple ? value.items : null;
  if (!items) return null;
  budget.elements(items.length * count);
  const repeated = Array.from({ length: count }, () => items).flat();
  return Array.isArray(value) ? repeated : new Tuple(repeated);
}

function arithmetic(operator: string, left: Value, right: Value): Value {
  const [a, b] = [asNumber(left), asNumber(right)];
  if ((operator === "/" || operator === "//" || operator === "%") && b === 0) fail("division by zero");
  const result = calculate(operator, a, b);
  if (isFloat(left) || isFloat(right) || operator === "/" || (operator === "**" && b < 0)) return asFloat(result);
  if (!Number.isSafeInteger(result)) return exactly(operator, left, right);
  return result;
}

function calculate(operator: string, a: number, b: number): number {
  switch (operator) {
    case "+":
      return a + b;
    case "-":
      return a - b;
    case "*":
      return a * b;
    case "/":
      return a / b;
    case "//":
      return Math.floor(a / b) + 0;
    case "%": {
      // The sign of the divisor, as Python has it.
      const rest = a % b;
      return rest !== 0 && rest < 0 !== b < 0 ? rest + b : rest + 0;
    }
    default:
      return a ** b;
  }
}

/** Integers beyond 2^53. */
function exactly(operator: string, left: Value, right: Value): Value {
  const [a, b] = [BigInt(asNumber(left)), BigInt(asNumber(right))];
  if (operator === "+") return a + b;
  if (operator === "-") return a - b;
  if (operator === "*") return a * b;
  return fail(`${operator} makes an integer beyond 2^53`);
}

export function compares(operator: string, left: Value, right: Value, budget: Budget): boolean {
  switch (operator) {
    case "==":
      return equals(left, right, budget);
    case "!=":
      return !equals(left, right, budget);
    case "<":
      return compare(left, right, budget, operator) < 0;
    case "<=":
      return compare(left, right, budget, operator) <= 0;
    case ">":
      return compare(left, right, budget, operator) > 0;
    case ">=":
      return compare(left, right, budget, operator) >= 0;
    case "in":
      return contains(right, left, budget);
    default:
      return !contains(right, left, budget);
  }
}

export function negative(value: Value, sign: "-" | "+"): Value {
  if (value instanceof Undefined) return undefinedError(value);
  if (!isNumber(value)) return fail(`bad operand type for unary ${sign}: '${typeName(value)}'`);
  const result = sign === "-" ? -asNumber(value) : asNumber(value);
  return isFloat(value) ? asFloat(result) : result + 0;
}

/** value[start:stop:step] */
export function slice(value: Value, bounds: readonly [Value, Value, Value], budget: Budget): Value {
  if (value instanceof Undefined) return undefinedError(value);
  const [from, to, by] = bounds.map((bound) => (bound === null ? null : asIndex(bound, "slice")));
  const step = by ?? 1;
  if (step === 0) fail("slice step cannot be zero");
  const isText = isString(value);
  const items = isText
    ? [...value]
    : Array.isArray(value)
      ? value
      : value instanceof Tuple
        ? value.items
        : value instanceof Range
          ? Array.from({ length: value.length }, (_, i) => value.at(i))
          : null;
  if (!items) return new Undefined(`'${typeName(value)} object' cannot be sliced`);
  budget.elements(items.length);
  const { length } = items;
  const clamp = (at: number | null | undefined, fallback: number): number => {
    if (at === null || at === undefined) return fallback;
    const index = at < 0 ? at + length : at;
    return step > 0 ? Math.min(Math.max(index, 0), length) : Math.min(Math.max(index, -1), length - 1);
  };
  const start = clamp(from, step > 0 ? 0 : length - 1);
  const stop = clamp(to, step > 0 ? length : -1);
  const taken: Value[] = [];
  for (let i = start; step > 0 ? i < stop : i > stop; i += step) taken.push(items[i]);
  return isText ? taken.join("") : value instanceof Tuple ? new Tuple(taken) : taken;
}
