/** @file Parameter blocks: what the host writes by name lies where the AssemblyScript kernels read it. */
import { readFile } from "node:fs/promises";
import { describe, expect, it } from "vitest";
import { type Fields, Struct, type Values } from "../src/backends/parameters/struct.ts";
import { WASM_FILES } from "../src/backends/parameters/wasm-blocks.ts";
import { shaders } from "../src/backends/webgpu/generated/shaders.ts";
import { paramsText } from "../src/backends/webgpu/queue/params-text.ts";
import { shader } from "../src/backends/webgpu/queue/shader-text.ts";
import { constantName, parametersText } from "../tools/parameter-offsets.ts";

/** Constants of a file that the kernels are compiled from. */
async function constantsOf(name: string): Promise<Map<string, number>> {
  const text = await readFile(new URL(`../assembly/generated/${name}.ts`, import.meta.url), "utf8");
  return new Map(Array.from(text.matchAll(/export const (\w+): \w+ = (\d+);/g), (m) => [m[1]!, Number(m[2])]));
}

/** A different value for every field; blocks in blocks begin with their own numbers. */
function valuesOf(struct: Struct, first: number): Values<Fields> {
  const values: Record<string, number | readonly number[] | Values<Fields>> = {};
  for (const [name, field] of Object.entries(struct.fields)) {
    const value = first + struct.offsets[name]!;
    if (typeof field === "string") values[name] = value;
    else if (Array.isArray(field)) values[name] = Array.from({ length: field[1] }, (_, i) => value + i);
    else if (field instanceof Struct) values[name] = valuesOf(field, 1000 * value);
  }
  return values;
}

describe.each(Object.entries(WASM_FILES))("%s", (name, { structs = [], numbers = [], sizes = {}, floats = {} }) => {
  it("is read where it is written", async () => {
    const constants = await constantsOf(name);
    for (const [prefix, struct] of structs) {
      const view = new DataView(new ArrayBuffer(struct.numBytes + 64));
      const values = valuesOf(struct, 1);
      struct.write(view, 64, values);
      for (const [field, type] of Object.entries(struct.fields)) {
        if (field.startsWith("_")) continue;
        const at = constants.get(prefix + constantName(field));
        expect(at, `${prefix}${field}`).toBeDefined();
        const read = (offset: number, as: unknown): number =>
          as === "f32" ? view.getFloat32(64 + at! + offset, true) : view.getUint32(64 + at! + offset, true);
        if (typeof type === "string") expect(read(0, type), field).toBe(values[field]);
        else if (Array.isArray(type)) {
          const words = Array.from({ length: type[1] }, (_, i) => read(4 * i, type[0]));
          expect(words, field).toEqual(values[field]);
        } else if (type instanceof Struct) {
          const inner = values[field] as Readonly<Record<string, number>>;
          for (const [own, as] of Object.entries(type.fields)) {
            if (typeof as === "string") expect(read(constants.get(constantName(own))!, as), own).toBe(inner[own]);
          }
        }
      }
    }
    for (const [prefix, values] of numbers) {
      for (const [own, value] of Object.entries(values)) {
        expect(constants.get(prefix + constantName(own))).toBe(value);
      }
    }
    for (const [own, value] of Object.entries({ ...sizes, ...floats })) {
      expect(constants.get(constantName(own)), own).toBe(value);
    }
  });
});

describe("Struct", () => {
  const inner = new Struct({ a: "u32", b: "f32" });
  const block = new Struct({ first: "u32", list: ["f32", 2], gap: { numBytes: 4 }, side: inner, last: "i32" });

  it("places fields one after the other", () => {
    expect(block.offsets).toEqual({ first: 0, list: 4, gap: 12, side: 16, last: 24 });
    expect(block.numBytes).toBe(28);
  });

  it("writes every field by its name, and nothing between them", () => {
    const view = new DataView(new ArrayBuffer(28));
    view.setUint32(12, 77, true);
    block.write(view, 0, { first: 0xffff_fffe, list: [1, 2], side: { a: 3, b: 0.5 }, last: -1 });
    expect([view.getUint32(0, true), view.getFloat32(4, true), view.getFloat32(8, true)]).toEqual([0xffff_fffe, 1, 2]);
    expect([view.getUint32(12, true), view.getUint32(16, true), view.getFloat32(20, true)]).toEqual([77, 3, 0.5]);
    expect(view.getInt32(24, true)).toBe(-1);
  });

  it("refuses a list of another length", () => {
    const view = new DataView(new ArrayBuffer(28));
    expect(() => block.write(view, 0, { first: 1, list: [1], side: { a: 1, b: 1 }, last: 1 })).toThrow(
      /list has 2 values, got 1/,
    );
  });
});

describe("the struct of a WebGPU kernel", () => {
  it("has the block's fields in its order, with their comments", () => {
    const block = new Struct({ weights: ["f32", 8], numRows: ["u32", "Of x."], offset: "i32" });
    const text = [
      "struct Params {",
      "  weights: array<vec4<f32>, 2>,",
      "  // Of x.",
      "  num_rows: u32,",
      "  offset: i32,",
      "}",
    ];
    expect(paramsText(block).split("\n")).toEqual(text);
    const { code, params } = shader("swiglu", block);
    expect(params).toBe(block);
    expect(code).toContain(text.join("\n"));
  });

  it("refuses what uniform blocks have no room for", () => {
    expect(() => paramsText(new Struct({ rows: "u32", list: ["f32", 4] }))).toThrow(/list, a list in WGSL/);
    expect(() => paramsText(new Struct({ list: ["f32", 3] }))).toThrow(/list, a list in WGSL/);
    expect(() => paramsText(new Struct({ gap: { numBytes: 4 } }))).toThrow(/gap has no counterpart/);
  });

  it("is written by hand nowhere", () => {
    for (const [name, text] of Object.entries(shaders)) {
      expect(text, name).not.toMatch(/struct Params/);
      if (text.includes("var<uniform>")) expect(text, name).toContain("//#insert PARAMS");
    }
  });
});

it("refuses two constants of one name", () => {
  const block = new Struct({ rows: "u32" });
  expect(() =>
    parametersText({
      structs: [
        ["", block],
        ["", block],
      ],
    }),
  ).toThrow(/two constants named ROWS/);
});
