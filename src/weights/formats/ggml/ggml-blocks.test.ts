/** @file ggml's block formats against values of the package gguf, and what becomes of them where kernels compute with another format. */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { type WeightType, weightFormat } from "../../registry.ts";
import { rowBytes } from "../../weight-format.ts";
import { exactRows, rowsAs } from "../../weight-part.ts";

const fixture: Record<string, { stored: string; values: string }> = JSON.parse(
  readFileSync(new URL("../../../../test/fixtures/ggml-blocks/blocks.json", import.meta.url), "utf8"),
);
const EXACT = ["q8_0", "q4_0", "q4_1", "q5_0", "iq4_nl", "iq4_xs", "mxfp4"];

const bytesOf = (base64: string): Uint8Array => new Uint8Array(Buffer.from(base64, "base64"));

describe.each(Object.entries(fixture))("%s", (name, { stored: text, values: floats }) => {
  const type = name as WeightType;
  const format = weightFormat(type);
  const stored = bytesOf(text);
  const expected = new Float32Array(bytesOf(floats).buffer);
  const part = { dtype: type, rows: 1, cols: expected.length, data: stored };
  const dequantize = (bytes: Uint8Array, as = format): Float32Array => {
    const out = new Float32Array(expected.length);
    as.dequantize(bytes, 1, expected.length, out);
    return out;
  };

  it("blocks have the bytes and the values that ggml gives them", () => {
    expect(rowBytes(format, expected.length)).toBe(stored.length);
    // Zero has no sign here.
    expect(dequantize(stored).map((value) => value + 0)).toEqual(expected.map((value) => value + 0));
  });

  it("whatever bytes the blocks begin at", () => {
    const moved = new Uint8Array(stored.length + 1);
    moved.set(stored, 1);
    expect(dequantize(moved.subarray(1))).toEqual(dequantize(stored));
  });

  const kept = weightFormat(format.keptAs!.type);
  if (EXACT.includes(name)) {
    it(`${kept.name} holds them exactly, code by code`, () => {
      const converted = exactRows(part, 0, 1, kept.name as WeightType)!;
      expect(converted.length).toBe(rowBytes(kept, expected.length));
      expect(dequantize(converted, kept).map((value) => value + 0)).toEqual(expected.map((value) => value + 0));
    });
  } else if (name === "q4_k") {
    it("q4 holds its codes, and scales and minimums to 2^-11", () => {
      const near = dequantize(exactRows(part, 0, 1, "q4")!, kept);
      for (let group = 0; group < expected.length; group += 32) {
        const own = expected.subarray(group, group + 32);
        // A value is scale · code + minimum: either is off by 2^-11 of itself at most, and at most 15 scales and a minimum.
        const range = Math.max(...own) - Math.min(...own);
        const peak = Math.max(...own.map(Math.abs));
        for (const [i, value] of own.entries()) {
          expect(Math.abs(near[group + i]! - value)).toBeLessThanOrEqual((3 * range + peak) * 2 ** -10);
        }
      }
    });
  } else {
    it(`${kept.name} holds them to half a step of its own`, () => {
      expect(exactRows(part, 0, 1, kept.name as WeightType)).toBeNull();
      const near = dequantize(rowsAs(part, 0, 1, kept.name as WeightType), kept);
      for (let group = 0; group < expected.length; group += 32) {
        const own = expected.subarray(group, group + 32);
        const step = own.reduce((peak, value) => Math.max(peak, Math.abs(value)), 0) / 127;
        for (const [i, value] of own.entries()) {
          expect(Math.abs(near[group + i]! - value)).toBeLessThanOrEqual(0.5001 * step);
        }
      }
    });
  }

  it("finds the first block that holds no numbers", () => {
    const blockBytes = stored.length / (expected.length / (format.block.values as number));
    const half = (at: number) => (name === "mxfp4" ? [at] : [at, at + 1]);
    const at = { q2_k: 80, q3_k: 108, q6_k: 208 }[name] ?? 0;
    const broken = stored.slice();
    for (const byte of half(blockBytes + at)) broken[byte] = 0xff;
    expect(format.firstNonFinite(stored, 1, expected.length)).toBe(-1);
    expect(format.firstNonFinite(broken, 1, expected.length)).toBe(format.block.values);
  });
});
