/** @file Generates the AssemblyScript offsets of parameter blocks from their declarations in src/backends/parameters/. */
import type { WasmFile } from "../src/backends/parameters/wasm-blocks.ts";

/** For example numKvHeads → NUM_KV_HEADS, plane0 → PLANE_0, norm-preserving → NORM_PRESERVING. */
export function constantName(name: string): string {
  return name
    .replace(/-/g, "_")
    .replace(/([a-z])([A-Z])/g, "$1_$2")
    .replace(/([a-z])(\d)$/, (all, letter: string, digit: string) =>
      /^[a-z]\d+$/.test(name) ? all : `${letter}_${digit}`,
    )
    .toUpperCase();
}

/** The text of one generated file. Fields whose names begin with _ are padding. */
export function parametersText({ structs = [], numbers = [], sizes = {}, floats = {} }: WasmFile): string {
  const constants = new Map<string, string>();
  const add = (name: string, type: string, value: number): void => {
    if (constants.has(name)) throw new Error(`parameter blocks: two constants named ${name} in one file`);
    constants.set(name, `export const ${name}: ${type} = ${value};`);
  };
  for (const [prefix, { offsets, numBytes }] of structs) {
    for (const [name, offset] of Object.entries(offsets)) {
      if (!name.startsWith("_")) add(prefix + constantName(name), "usize", offset);
    }
    if (prefix) add(`${prefix}BYTES`, "usize", numBytes);
  }
  for (const [prefix, values] of numbers) {
    for (const [name, value] of Object.entries(values)) add(prefix + constantName(name), "i32", value);
  }
  for (const [name, value] of Object.entries(sizes)) add(constantName(name), "usize", value);
  for (const [name, value] of Object.entries(floats)) add(constantName(name), "f32", value);
  const head = "/** @file Written by tools/build-wasm.ts from src/backends/parameters/; not in git. */";
  return `${[head, ...constants.values()].join("\n")}\n`;
}
