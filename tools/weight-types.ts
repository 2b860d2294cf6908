/** @file Generates the numbers by which AssemblyScript kernels know the weight formats, from the registry of formats. */
import { wasmSources, weightFormat, weightTypes } from "../src/weights/registry.ts";
import { FIRST_BLOCKS_CODE, VECTOR_CODE } from "../src/weights/weight-format.ts";

export function weightTypesText(): string {
  const codes = new Map<string, number>([
    ["VECTOR", VECTOR_CODE],
    ["FIRST_BLOCKS", FIRST_BLOCKS_CODE],
  ]);
  const add = (name: string, code: number | undefined): void => {
    if (code === undefined) return;
    if ([...codes.values()].includes(code))
      throw new Error(`weight formats: ${name} has a code that is taken, ${code}`);
    codes.set(name.toUpperCase(), code);
  };
  for (const name of weightTypes()) add(name, weightFormat(name).wasm?.code);
  for (const { name, wasmSource } of wasmSources()) add(name, wasmSource);
  return [
    "/** @file Written by tools/build-wasm.ts from src/weights/registry.ts; not in git. VECTOR: norms and biases in plain order; from FIRST_BLOCKS on, what only conversion reads. */",
    ...Array.from(codes, ([name, code]) => `export const ${name}: i32 = ${code};`),
    "",
  ].join("\n");
}
