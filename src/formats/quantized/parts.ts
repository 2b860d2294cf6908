/** @file Bytes of parts of quantized weights as numbers. */
import { fromBfloat16Bits, fromFloat16Bits } from "../../math/float16.ts";
import { elements } from "../../weights/elements.ts";
import type { Part, QuantizedWeight, Refuse } from "./scheme.ts";

/** Values of a scale, zero or bias, whatever float they are stored in. @throws TurboQuantError unsupported — no float */
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
      return fp8Values(bytes);
    default:
      throw refuse.unsupported(part.name, `expected F32, F16, BF16 or F8_E4M3, got ${part.stored}`);
  }
}

/** 32-bit words of packed codes. */
export async function wordsOf(part: Part): Promise<Uint32Array> {
  return elements(await part.read(), Uint32Array);
}

/** Values of FP8 with 4 bits of exponent and 3 of mantissa (E4M3FN of the OCP, no infinities; 0x7f and 0xff are NaN). */
const FP8 = Float32Array.from({ length: 256 }, (_, bits) => {
  const [exponent, mantissa] = [(bits >> 3) & 15, bits & 7];
  if ((bits & 127) === 127) return Number.NaN;
  const magnitude = exponent === 0 ? mantissa * 2 ** -9 : (8 + mantissa) * 2 ** (exponent - 10);
  return bits & 128 ? -magnitude : magnitude;
});

export const fp8Values = (bytes: Uint8Array): Float32Array => Float32Array.from(bytes, (bits) => FP8[bits]!);

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
