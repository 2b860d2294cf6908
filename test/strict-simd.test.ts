/** @file The strict module that is made of the relaxed one: its instructions, and that what is not known is refused. */
import { expect, it } from "vitest";
import { strictModule } from "../tools/strict-simd.ts";

const [I32, F32, V128] = [0x7f, 0x7d, 0x7b];
const section = (id: number, ...content: number[]): number[] => [id, content.length, ...content];

/** One function of (i32, f32, f32, f32) with a local i32, whose code is given. */
function moduleOf(code: readonly number[]): Uint8Array {
  const body = [1, 1, I32, ...code, 0x0b];
  return Uint8Array.from([
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, 1, 0x60, 4, I32, F32, F32, F32, 1, V128),
    ...section(3, 1, 0),
    ...section(7, 1, 1, 0x66, 0, 0),
    ...section(10, 1, body.length, ...body),
  ]);
}

const splat = (local: number): number[] => [0x20, local, 0xfd, 0x13];
const MADD = [...splat(1), ...splat(2), ...splat(3), 0xfd, 0x85, 0x02];

it("a multiply-add becomes a product and a sum, with the summand in a local behind the others", () => {
  const [set, get] = [
    [0x21, 5],
    [0x20, 5],
  ];
  const wanted = [...splat(1), ...splat(2), ...splat(3), ...set, 0xfd, 0xe6, 0x01, ...get, 0xfd, 0xe4, 0x01, 0x0b];
  const strict = strictModule(moduleOf(MADD));
  expect(WebAssembly.validate(strict as BufferSource)).toBe(true);
  expect([...strict.slice(-wanted.length - 5)]).toEqual([2, 1, I32, 1, V128, ...wanted]);
});

it("a lookup becomes the strict one, and a function without a multiply-add gets no local", () => {
  // The constant has the bytes of a multiply-add, which stay as they are.
  const constant = [0xfd, 0x0c, 0xfd, 0x85, 0x02, ...Array<number>(13).fill(0)];
  const table = [0x02, 0x40, 0x20, 0, 0x0e, 1, 0, 0, 0x0b];
  const relaxed = moduleOf([...table, ...constant, ...splat(1), 0xfd, 0x80, 0x02]);
  expect(strictModule(relaxed)).toEqual(moduleOf([...table, ...constant, ...splat(1), 0xfd, 0x0e]));
});

it.each([
  ["another relaxed instruction", [...splat(1), 0xfd, 0x81, 0x02], /no strict instructions for opcode 0xfd 257/],
  ["an instruction that is not known", [0xd0, 0x70], /opcode 0xd0 is not known/],
  ["one that ends behind its body", [0x43], /ends behind its body/],
  ["one that copies data", [0xfc, 8, 0, 0], /opcode 0xfc 8 is not known/],
])("%s is refused", (_, code, why) => {
  expect(() => strictModule(moduleOf(code))).toThrow(why);
});
