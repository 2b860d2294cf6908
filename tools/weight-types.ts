/** @file Generates the numbers by which AssemblyScript kernels know the weight formats, from the registry of formats. */
import { weightFormat, weightTypes } from "../src/weights/registry.ts";
import { VECTOR_CODE } from "../src/weights/weight-format.ts";

export function weightTypesText(): string {
  const codes = new Map<string, number>([["VECTOR", VECTOR_CODE]]);
  for (const name of weightTypes()) {
    const code = weightFormat(name).wasm?.code;
    if (code === undefined) continue;
    if ([...codes.values()].includes(code))
      throw new Error(`weight formats: ${name} has a code that is taken, ${code}`);
    codes.set(name.toUpperCase(), code);
  }
  return [
    "/** @file Written by tools/build-wasm.ts from src/weights/registry.ts; not in git. VECTOR: norms and biases in plain order. */",
    ...Array.from(codes, ([name, code]) => `export const ${name}: i32 = ${code};`),
    "",
  ].join("\n");
}
