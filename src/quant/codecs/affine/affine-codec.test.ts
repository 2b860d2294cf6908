/** @file int4 and OSCAR's 2 bits: rows worked out by hand, and what a spec has to say. */
import { describe, expect, it } from "vitest";
import { gaussianVector } from "../../../../test/support/vectors.ts";
import { bitsPerValue, pageLayout } from "../../page-layout.ts";
import { parseKvSpec } from "../../parse-kv-spec.ts";
import { RowCodec } from "../../row-codec.ts";
import { clipRow } from "./affine-codec.ts";

const OSCAR = "oscar-2,calibration=rotations.safetensors";

function roundTrip(spec: string, x: Float32Array, side: "k" | "v" = "k"): Float32Array {
  const format = parseKvSpec(spec).forLayer(0);
  const layout = pageLayout(format.k, format.v, x.length, 2);
  const page = new Uint8Array(layout.numBytes);
  const codec = new RowCodec(format[side], format, x.length);
  const own = x.slice();
  codec.prepare(own);
  codec.write(own, page, layout, side, 1, 5);
  const out = new Float32Array(x.length);
  codec.read(page, layout, side, 1, 5, out);
  codec.restore(out);
  return out;
}

describe("int4", () => {
  it("sixteen even steps of a row are exact, rotated only when asked", () => {
    const steps = Float32Array.from({ length: 64 }, (_, i) => -1 + (i % 16) / 4);
    expect(roundTrip("int4", steps)).toEqual(steps);
    expect(roundTrip("int4,rotation=hadamard", steps)).not.toEqual(steps);
    const x = gaussianVector(64, 3);
    const largest = Math.max(...x) - Math.min(...x);
    roundTrip("int4", x).forEach((value, i) => {
      expect(Math.abs(value - x[i]!)).toBeLessThanOrEqual(largest / 30 + 0.005);
    });
  });

  it("a row takes 32 bits beside its codes; no sinks, no window", () => {
    const format = parseKvSpec("int4").forLayer(0);
    expect(bitsPerValue(pageLayout(format.k, format.v, 64, 2))).toBe(4.5);
    expect(format).toMatchObject({ sinks: 0, window: 0, rotation: "none" });
    expect(parseKvSpec("k4v4,v=int4").forLayer(0).v).toMatchObject({ kind: "affine", bits: 4 });
  });
});

describe("oscar-2", () => {
  it("clips at the magnitude of its rank: 0.96 of a row of keys, 0.92 of values", () => {
    const x = Float32Array.from({ length: 100 }, (_, i) => (i % 2 ? -i : i));
    clipRow(x, 0.96);
    expect([...x.slice(95)]).toEqual([-95, 96, -96, 96, -96]);
    const row = Float32Array.from({ length: 64 }, (_, i) => (i < 60 ? (i % 4) / 3 : 100));
    // Rank 61 of 64 is still an outlier for keys; rank 58 is not for values.
    expect(Math.max(...roundTrip(OSCAR, row, "k"))).toBeCloseTo(100, 1);
    expect(Math.max(...roundTrip(OSCAR, row, "v"))).toBeCloseTo(1, 3);
  });

  it("has its sinks and window, and 2.5 bits at head_dim 64", () => {
    const format = parseKvSpec(OSCAR).forLayer(0);
    expect(format).toMatchObject({ sinks: 64, window: 256, rotation: "none" });
    expect(bitsPerValue(pageLayout(format.k, format.v, 64, 2))).toBe(2.5);
    expect(bitsPerValue(pageLayout(format.k, format.v, 128, 2))).toBe(2.25);
  });

  it("is refused without rotations of its own", () => {
    for (const spec of ["oscar-2", "oscar-2,calibration=auto", "oscar-2,window=0"]) {
      expect(() => parseKvSpec(spec)).toThrow(
        /oscar2 needs its rotations; make them with: turboquant calibrate --method oscar/,
      );
    }
  });
});
