/**
 * @file WGSL with conditions: kernels are plain `.wgsl` files with a few lines that begin with `//#`.
 *
 * `//#if NAME` · `//#if NAME == value` · `//#if !NAME` · `//#else` · `//#end` keep or drop lines; `//#insert NAME` puts in
 * generated text, `//#include NAME` the lines of another `.wgsl` file, which have the same conditions. Numbers among the
 * values become `const NAME = …u;`, so that array sizes and loops can use them. `//#insert PARAMS` is the struct of the
 * parameter block, which the module that dispatches the kernel declares.
 */
import { TurboQuantError } from "../../../errors.ts";
import type { Struct } from "../../parameters/struct.ts";
import { type ShaderName, shaders } from "../generated/shaders.ts";
import { paramsText } from "./params-text.ts";

export type ShaderValues = Readonly<Record<string, number | boolean | string>>;

function holds(condition: string, values: ShaderValues, where: string): boolean {
  const match = /^(!?)(\w+)(?:\s*(==|!=|>|<)\s*(\w+))?$/.exec(condition.trim());
  if (!match || !(match[2]! in values)) {
    throw new TurboQuantError("internal", `internal: ${where}: cannot decide "${condition}"`);
  }
  const value = values[match[2]!]!;
  const right = match[4];
  switch (match[3]) {
    case "==":
      return String(value) === right;
    case "!=":
      return String(value) !== right;
    case ">":
      return Number(value) > Number(right);
    case "<":
      return Number(value) < Number(right);
    default:
      return (match[1] === "!") !== Boolean(value);
  }
}

/** The lines that a file's conditions keep, with those of included files. */
function keptLines(
  name: string,
  source: string,
  values: ShaderValues,
  inserts: Readonly<Record<string, string>>,
): string[] {
  const kept: string[] = [];
  const stack: { active: boolean; taken: boolean }[] = [];
  for (const [index, line] of source.split("\n").entries()) {
    const directive = /^\s*\/\/#(\w+)\s*(.*)$/.exec(line);
    const active = stack.every((level) => level.active);
    const where = `${name}.wgsl:${index + 1}`;
    if (!directive) {
      if (active) kept.push(line);
      continue;
    }
    const argument = directive[2]!.trim();
    if (directive[1] === "if") {
      const yes = active && holds(argument, values, where);
      stack.push({ active: yes, taken: yes });
    } else if (directive[1] === "else") {
      const level = stack.at(-1)!;
      level.active = !level.taken;
    } else if (directive[1] === "end") {
      stack.pop();
    } else if (directive[1] === "insert") {
      const text = inserts[argument];
      if (text === undefined) throw new TurboQuantError("internal", `internal: ${where}: nothing to insert`);
      if (active) kept.push(text);
    } else if (directive[1] === "include") {
      if (!(argument in shaders)) throw new TurboQuantError("internal", `internal: ${where}: no file to include`);
      if (active) kept.push(...keptLines(argument, shaders[argument as ShaderName].trimEnd(), values, inserts));
    } else {
      throw new TurboQuantError("internal", `internal: ${where}: unknown directive`);
    }
  }
  if (stack.length > 0) throw new TurboQuantError("internal", `internal: ${name}.wgsl: //#if without //#end`);
  return kept;
}

/**
 * The text for the device; its first line names the file. `inserts` are the texts for `//#insert`, which may not contain conditions.
 */
export function shaderText(
  name: string,
  source: string,
  values: ShaderValues,
  inserts: Readonly<Record<string, string>> = {},
): string {
  const kept = keptLines(name, source, values, inserts);
  // WGSL demands that `enable` and `requires` come first.
  const isHeader = (line: string) => /^\s*(enable|requires)\s/.test(line);
  const constants = Object.entries(values)
    .filter(([, value]) => typeof value === "number")
    .map(([key, value]) => `const ${key} = ${value}u;`);
  const body = kept.filter((line) => !isHeader(line));
  return [`// ${name}.wgsl`, ...kept.filter(isHeader), ...constants, ...body].join("\n");
}

/** A kernel's text and the block that it reads at binding 0. */
export interface Shader<P extends Struct> {
  readonly code: string;
  readonly params: P;
}

/** The text of a file for these values, with its `struct Params`. */
export function shader<P extends Struct>(
  name: ShaderName,
  params: P,
  values: ShaderValues = {},
  inserts: Readonly<Record<string, string>> = {},
): Shader<P> {
  return { code: shaderText(name, shaders[name], values, { PARAMS: paramsText(params), ...inserts }), params };
}

/** The file, without extension, from which `shaderText` made this text. */
export const shaderName = (code: string): string => /^\/\/ (.+)\.wgsl\n/.exec(code)![1]!;

const floatWord = new Float32Array(1);
const bits = new Uint32Array(floatWord.buffer);
/** The bits of an f32, for a constant that a kernel casts back. */
export function f32Word(value: number): number {
  floatWord[0] = value;
  return bits[0]!;
}

/** An f32 literal that WGSL parses to exactly this number. */
export function floatText(value: number): string {
  const text = String(Math.fround(value));
  return /[.e]/.test(text) ? `${text}f` : `${text}.0f`;
}

/** The element of `values` with index `best`. Compilers would put an array with a variable index into memory. */
export const chosenText = (values: readonly number[]): string =>
  values
    .slice(1)
    .reduce((others, value, i) => `select(${others}, ${floatText(value)}, best == ${i + 1}u)`, floatText(values[0]!));
