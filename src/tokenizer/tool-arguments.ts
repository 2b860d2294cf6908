/** @file Arguments of tool calls, which clients send as JSON text and templates expect as objects. */
import { isJsonObject } from "../formats/json-file.ts";
import { Float, jsonText } from "./jinja/index.ts";

type Message = Readonly<Record<string, unknown>>;

/** Clients write the arguments of a call that has none as `{}`, as nothing, or as null. */
export const areNone = (value: unknown): boolean =>
  value === null || value === undefined || (typeof value === "string" && value.trim() === "");

/** Messages with every text of arguments that is a JSON object parsed. */
export function parsedArguments(messages: readonly unknown[]): readonly unknown[] {
  const parsed = (value: unknown): unknown =>
    areNone(value) ? {} : typeof value === "string" ? parseObject(value) : undefined;
  return changed(messages, parsed) ?? messages;
}

/** Messages with all arguments as text; null where none is an object or parsed to one. */
export function writtenArguments(messages: readonly unknown[]): readonly unknown[] | null {
  let differs = false;
  const written = changed(messages, (value) => {
    if (areNone(value)) {
      differs = true;
      return "{}";
    }
    if (typeof value === "string") {
      differs ||= parseObject(value) !== undefined;
      return value;
    }
    differs ||= isJsonObject(value);
    return isJsonObject(value) ? jsonText(value) : undefined;
  });
  return differs ? written : null;
}

/** Messages with arguments replaced where `change` gives another value; null when there are none. */
function changed(messages: readonly unknown[], change: (value: unknown) => unknown): readonly unknown[] | null {
  let found = false;
  const result = messages.map((message) => {
    if (!isJsonObject(message) || !Array.isArray(message["tool_calls"])) return message;
    const calls = message["tool_calls"].map((call: unknown) => {
      const inner = isJsonObject(call) && isJsonObject(call["function"]) ? call["function"] : call;
      if (!isJsonObject(inner)) return call;
      const value = change(inner["arguments"]);
      if (value === undefined) return call;
      found = true;
      const replaced = { ...inner, arguments: value };
      return inner === call ? replaced : { ...(call as Message), function: replaced };
    });
    return { ...message, tool_calls: calls };
  });
  return found ? result : null;
}

/** The object that a JSON text stands for, with `1.0` told apart from `1` and integers beyond 2^53 kept; undefined for other texts. */
function parseObject(text: string): unknown {
  if (!/^\s*\{/.test(text)) return undefined;
  const kept: (Float | bigint)[] = [];
  const marked = text.replace(/"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g, (token) => {
    if (token.startsWith('"')) return token;
    const value = Number(token);
    const isFloat = /[.eE]/.test(token);
    if (isFloat ? !Number.isInteger(value) : Number.isSafeInteger(value)) return token;
    if (!/^-?(?:0|[1-9]\d*)(?:[.eE]|$)/.test(token)) return token;
    kept.push(isFloat ? new Float(value) : BigInt(token));
    return `{"\\u0000number":${kept.length - 1}}`;
  });
  try {
    const parsed: unknown = JSON.parse(marked, (_, value: unknown) => {
      const index = isJsonObject(value) ? value["\0number"] : undefined;
      return typeof index === "number" && kept[index] !== undefined ? kept[index] : value;
    });
    return isJsonObject(parsed) ? parsed : undefined;
  } catch {
    return undefined;
  }
}
