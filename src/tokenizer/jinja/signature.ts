/** @file Functions that take arguments by position or by name, as Python's do. */
import type { Budget } from "./budget.ts";
import { fail } from "./template-error.ts";
import { type Arguments, Float, isString, type Value } from "./values.ts";

/** What built-in functions ask of the interpreter. */
export interface Engine {
  readonly budget: Budget;
  attribute(object: Value, name: string): Value;
  item(object: Value, index: Value): Value;
  call(callee: Value, args: Arguments): Value;
  filter(name: string, value: Value, args: Arguments): Value;
  test(name: string, value: Value, args: Arguments): boolean;
}

/** Takes the value that it is applied to, then its arguments; one that was not given and has no default is undefined. */
export type Builtin = (values: readonly Value[], engine: Engine) => Value;

interface Parameter {
  readonly name: string;
  readonly isOptional: boolean;
  readonly fallback: Value;
}

export interface Definition {
  readonly parameters: readonly Parameter[];
  /** Whether any further arguments are handed on as they are, as the last value. */
  readonly takesRest: boolean;
  readonly run: Builtin;
}

/** signature: `old new count=-1`; the value that it is applied to is not named. `...` takes what is left. */
export function define(signature: string, run: Builtin): Definition {
  const words = signature.split(" ").filter((word) => word !== "");
  const takesRest = words.at(-1) === "...";
  const parameters = (takesRest ? words.slice(0, -1) : words).map((word) => {
    const [name, fallback] = word.split("=") as [string, string | undefined];
    return {
      name,
      isOptional: fallback !== undefined,
      fallback: fallback === undefined ? undefined : constant(fallback),
    };
  });
  return { parameters, takesRest, run };
}

function constant(text: string): Value {
  if (text === "none") return null;
  if (text === "?") return undefined;
  if (text === "true" || text === "false") return text === "true";
  if (text === "0.0") return new Float(0);
  return /^-?\d+$/.test(text) ? Number(text) : text === "''" ? "" : text;
}

export function apply(
  what: string,
  { parameters, takesRest, run }: Definition,
  subject: readonly Value[],
  args: Arguments,
  engine: Engine,
): Value {
  const values: Value[] = [...subject];
  for (const value of subject) if (isString(value)) engine.budget.text(value.length);
  let used = 0;
  for (const [index, { name, isOptional, fallback }] of parameters.entries()) {
    if (index < args.positional.length) {
      if (args.named.has(name)) fail(`${what} got multiple values for argument '${name}'`);
      values.push(args.positional[index]);
    } else if (args.named.has(name)) {
      used++;
      values.push(args.named.get(name));
    } else if (isOptional) values.push(fallback);
    else fail(`${what} misses its argument '${name}'`);
  }
  if (takesRest) {
    const known = new Set(parameters.map(({ name }) => name));
    const named = new Map([...args.named].filter(([name]) => !known.has(name)));
    values.push({ positional: args.positional.slice(parameters.length), named } satisfies Arguments);
  } else {
    if (args.positional.length > parameters.length)
      fail(`${what} takes ${parameters.length} arguments, got ${args.positional.length}`);
    if (args.named.size > used) {
      const unknown = [...args.named.keys()].find((name) => !parameters.some((parameter) => parameter.name === name));
      fail(`${what} got an unexpected argument '${unknown}'`);
    }
  }
  return run(values, engine);
}
