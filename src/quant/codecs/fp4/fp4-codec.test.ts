/** @file NVFP4: blocks worked out by hand. */
import { expect, it } from "vitest";
import { gaussianVector } from "../../../../test/support/vectors.ts";
import { bitsPerValue, pageLayout } from "../../page-layout.ts";
import { parseKvSpec } from "../../parse-kv-spec.ts";
import { RowCodec } from "../../row-codec.ts";

const format = parseKvSpec("nvfp4").forLayer(0);

function roundTrip(x: Float32Array): Float32Array {
  const layout = pageLayout(format.k, format.v, x.length, 1);
  const page = new Uint8Array(layout.numBytes);
  const codec = new RowCodec(format.k, format, x.length);
  codec.write(x, page, layout, "k", 0, 3);
  const out = new Float32Array(x.length);
  codec.read(page, layout, "k", 0, 3, out);
  return out;
}

const block = (...values: number[]): number[] => [...values, ...new Array(16 - values.length).fill(0)];

it("values of E2M1 times a scale of E4M3 are exact, the rest goes to the nearest, ties to the even code", () => {
  const exact = [0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.5, -6, -4, -3, -2, -1.5, -1, 0];
  const x = Float32Array.from([...exact, ...exact.map((v) => 1.75 * v), ...exact.map((v) => v * 2 ** -6), ...block()]);
  expect([...roundTrip(x)].map((v) => v + 0)).toEqual([...x]);
  const near = Float32Array.from([...block(6, 0.2, 0.25, 0.3, 0.75, 1.25, 2.5, 3.5, 5, -5.1)]);
  expect([...roundTrip(near)].slice(0, 10)).toEqual([6, 0, 0, 0.5, 1, 1, 2, 4, 4, -6]);
});

it("scales round to 3 bits of mantissa, and saturate at 448", () => {
  // 6.3 / 6 = 1.05 lies between 1 and 1.125.
  expect([...roundTrip(Float32Array.from(block(6.3)))][0]).toBe(6);
  expect([...roundTrip(Float32Array.from(block(60_000, 100)))].slice(0, 2)).toEqual([6 * 448, 0]);
});

it("takes 4.5 bits, a short last block its own scale, and is far better than nothing on normal values", () => {
  expect(bitsPerValue(pageLayout(format.k, format.v, 128, 1))).toBe(4.5);
  const x = gaussianVector(72, 1);
  const back = roundTrip(x);
  const error = x.reduce((sum, value, i) => sum + (value - back[i]!) ** 2, 0);
  expect(error / x.reduce((sum, value) => sum + value * value, 0)).toBeLessThan(0.02);
  expect(format).toMatchObject({ sinks: 0, window: 0, rotation: "none" });
});
