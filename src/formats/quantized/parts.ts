/** @file Reads the parts of quantized weights as numbers: scales, packed words, FP8, powers of two. */
import { fromBfloat16Bits, fromFloat16Bits } from "../../math/float16.ts";
import { elements } from "../../weights/elements.ts";
import type { Part, QuantizedWeight, Refuse } from "./scheme.ts";

/**
 * Values of a scale, zero or bias, whatever float they are stored in.
 * @throws TurboQuantError unsupported — no float
 */
export async function floatsOf(part: Part, refuse: Refuse): Promise<Float32Array> {
  const bytes = await part.read();
  switch (part.stored) {
    case "F32":
      return elements(bytes, Float32Array);
    case "F16":
      return Float32Array.from(elements(bytes, Uint16Array), fromFloat16Bits);
    case "BF16":
      return Float32Array.from(elements(bytes, Uint16Array), fromBfloat16Bits);
    case "F8_E4M3":
    case "F8_E5M2":
      return fp8Values(bytes, part.stored);
    case "F8_E8M0":
      return powersOfTwo(bytes);
    default:
      throw refuse.unsupported(part.name, `expected F32, F16, BF16 or FP8, got ${part.stored}`);
  }
}

/** The one value of a scale of a whole matrix. @throws TurboQuantError invalid_file — several */
export async function scalarOf(part: Part, refuse: Refuse): Promise<number> {
  const values = await floatsOf(part, refuse);
  if (values.length === 1) return values[0]!;
  throw refuse.invalid(part.name, `expected one value, got [${part.shape}]`);
}

/** 32-bit words of packed codes. */
export async function wordsOf(part: Part): Promise<Uint32Array> {
  return elements(await part.read(), Uint32Array);
}

/** Values of FP8 with 4 bits of exponent and 3 of mantissa (E4M3FN of the OCP, no infinities; 0x7f and 0xff are NaN). */
const E4M3 = Float32Array.from({ length: 256 }, (_, bits) => {
  if ((bits & 127) === 127) return Number.NaN;
  return signed(bits, (bits >> 3) & 15, (bits & 7) / 8, 7);
});

/** With 5 bits of exponent and 2 of mantissa, infinities and NaN as in IEEE 754. */
const E5M2 = Float32Array.from({ length: 256 }, (_, bits) => {
  const [exponent, mantissa] = [(bits >> 2) & 31, (bits & 3) / 4];
  if (exponent === 31) return mantissa === 0 ? signed(bits, 1, 0, 1) * Number.POSITIVE_INFINITY : Number.NaN;
  return signed(bits, exponent, mantissa, 15);
});

function signed(bits: number, exponent: number, mantissa: number, bias: number): number {
  const magnitude = exponent === 0 ? mantissa * 2 ** (1 - bias) : (1 + mantissa) * 2 ** (exponent - bias);
  return bits & 128 ? -magnitude : magnitude;
}

export const isFp8 = (stored: string): stored is "F8_E4M3" | "F8_E5M2" => stored === "F8_E4M3" || stored === "F8_E5M2";

export function fp8Values(bytes: Uint8Array, stored: "F8_E4M3" | "F8_E5M2"): Float32Array {
  const table = stored === "F8_E4M3" ? E4M3 : E5M2;
  return Float32Array.from(bytes, (bits) => table[bits]!);
}

/** Scales of the OCP microscaling formats (E8M0), a byte each: 2^(e − 127); 255 is NaN. */
export const powersOfTwo = (bytes: Uint8Array): Float32Array =>
  Float32Array.from(bytes, (e) => (e === 255 ? Number.NaN : 2 ** (e - 127)));

/** @throws TurboQuantError invalid_file — the weight has no such part */
export function partOf({ module, parts }: QuantizedWeight, name: string, refuse: Refuse): Part {
  const part = parts.get(name);
  if (part) return part;
  throw refuse.invalid(
    `${module}.${name}`,
    `expected it beside ${[...parts.keys()].join(", ")} of the same weight, got nothing`,
  );
}

/** @throws TurboQuantError invalid_file — another shape */
export function expectShape({ name, shape }: Part, expected: readonly number[], why: string, refuse: Refuse): void {
  if (shape.length === expected.length && shape.every((size, i) => size === expected[i])) return;
  throw refuse.invalid(name, `expected [${expected}] ${why}, got [${shape}]`);
}
