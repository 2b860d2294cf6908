import { describe, expect, it } from "vitest";
import { gaussianVector, innerProduct, squaredDistance } from "../../test/support/vectors.ts";
import { fromFloat16Bits, toFloat16Bits } from "../math/float16.ts";
import { BLOCK } from "./baselines/blocks.ts";
import type { LayerKvFormat } from "./kv-format.ts";
import { type PageLayout, pageLayout, type Region, type SideLayout } from "./page-layout.ts";
import { parseKvSpec } from "./parse-kv-spec.ts";
import { createRotation } from "./rotation.ts";
import { type HeadCalibration, RowCodec } from "./row-codec.ts";
import { TRELLIS_DISTORTION } from "./trellis.ts";
import { TurboQuantMse } from "./turboquant-mse.ts";
import { TurboQuantProd } from "./turboquant-prod.ts";

const PLAIN: HeadCalibration = { mean: null, balance: null, forward: null, inverse: null, feedback: null };
const HEADS = 2;
const ROW = 5;

interface Fixture {
  readonly format: LayerKvFormat;
  readonly codec: RowCodec;
  readonly layout: PageLayout;
  readonly page: Uint8Array;
}

function fixture(spec: string, headDim: number, side: "k" | "v" = "k"): Fixture {
  const format = parseKvSpec(spec).forLayer(0);
  const layout = pageLayout(format.k, format.v, headDim, HEADS);
  return { format, codec: new RowCodec(format[side], format, headDim), layout, page: new Uint8Array(layout.numBytes) };
}

/** Prepares and stores x as row 5 of head 1, and reads it back in the space it was stored in. */
function roundTrip(f: Fixture, x: Float32Array, side: "k" | "v" = "k", calibration?: HeadCalibration | null) {
  const prepared = x.slice();
  f.codec.prepare(prepared, calibration);
  f.codec.write(prepared, f.page, f.layout, side, 1, ROW, calibration?.feedback);
  const back = new Float32Array(x.length);
  f.codec.read(f.page, f.layout, side, 1, ROW, back);
  return { prepared, back };
}

const bytesOf = (f: Fixture, r: Region): Uint8Array => {
  const at = r.offset + r.headStride + ROW * r.rowBytes;
  return f.page.slice(at, at + r.rowBytes);
};
const regionsOf = (s: SideLayout): Region[] => [...s.planes, ...s.scales];

const SPECS = [
  "f32",
  "f16",
  "q8_0",
  "q4_0r",
  ...[1, 2, 3, 4, 5, 6, 7, 8].flatMap((bits) => [`paper-${bits}`, `k${bits}v${bits}`]),
  ...[2, 3, 4, 8].map((bits) => `paper-${bits}+qjl`),
  "paper-4,rotation=qr",
  "paper-4,rotation=none",
];

describe("RowCodec", () => {
  it("has a trellis in what it stores, and not in its name alone: other bytes, and the loss that it is there for: n = 400", () => {
    const lossOf = (spec: string): { loss: number; bytes: string[] } => {
      const bytes: string[] = [];
      let [loss, norm] = [0, 0];
      for (let seed = 1; seed <= 400; seed++) {
        const f = fixture(spec, 64);
        const { prepared, back } = roundTrip(f, gaussianVector(64, seed));
        loss += squaredDistance(prepared, back);
        norm += innerProduct(prepared, prepared);
        bytes.push(
          regionsOf(f.layout.k)
            .flatMap((region) => [...bytesOf(f, region)])
            .join(),
        );
      }
      return { loss: loss / norm, bytes };
    };
    const [on, off] = [lossOf("k2v2"), lossOf("k2v2,trellis=off")];
    expect(on.bytes.filter((row, i) => row === off.bytes[i])).toEqual([]);
    // The standard error of 400 rows is 0.0006.
    expect(Math.abs(on.loss - TRELLIS_DISTORTION)).toBeLessThan(0.003);
    expect(on.loss).toBeLessThan(0.84 * off.loss);
  });

  it("touches the bytes of its row and no others, for every type, side and head_dim", () => {
    for (const spec of SPECS) {
      for (const headDim of [8, 24, 80, 128]) {
        for (const side of ["k", "v"] as const) {
          const f = fixture(spec, headDim, side);
          const own = new Set<number>();
          for (const r of regionsOf(f.layout[side])) {
            for (let i = 0; i < r.rowBytes; i++) own.add(r.offset + r.headStride + ROW * r.rowBytes + i);
          }
          f.page.fill(0xa5);
          roundTrip(f, gaussianVector(headDim, 1), side);
          const touched = [...f.page.keys()].filter((at) => f.page[at] !== 0xa5 && !own.has(at));
          expect(touched, `${spec} ${headDim} ${side}`).toEqual([]);
          // Whatever lay there before does not show.
          const again = fixture(spec, headDim, side);
          roundTrip(again, gaussianVector(headDim, 1), side);
          for (const at of own) expect(again.page[at]).toBe(f.page[at]);
        }
      }
    }
  });

  it("keeps f32 exactly, f16 to the nearest, without rotating", () => {
    const x = gaussianVector(80, 2);
    expect(roundTrip(fixture("f32", 80), x).back).toEqual(x);
    expect(roundTrip(fixture("f16", 80), x).back).toEqual(x.map((v) => fromFloat16Bits(toFloat16Bits(v))));
  });

  it("q8_0: blocks of 32, half a step of max/127; not rotated", () => {
    const x = gaussianVector(80, 3);
    const { prepared, back } = roundTrip(fixture("q8_0", 80), x);
    expect(prepared).toEqual(x);
    for (let start = 0; start < 80; start += BLOCK) {
      const end = Math.min(80, start + BLOCK);
      const largest = Math.max(...x.subarray(start, end).map(Math.abs));
      // 127 steps of an f16 scale, each off by up to 2^-11 of itself.
      for (let i = start; i < end; i++) {
        expect(Math.abs(back[i]! - x[i]!)).toBeLessThan(largest / 127 / 2 + largest * 2 ** -11 + 1e-7);
      }
    }
  });

  it("q4_0r: the rotated q4_0 of ggml, −8 at the largest magnitude of a block", () => {
    const f = fixture("q4_0r", 128);
    const { prepared, back } = roundTrip(f, gaussianVector(128, 4));
    const rotated = gaussianVector(128, 4);
    createRotation("hadamard", 128, 0).apply(rotated);
    expect(prepared).toEqual(rotated);
    const codes = bytesOf(f, f.layout.k.planes[0]!);
    for (let start = 0; start < 128; start += BLOCK) {
      const block = [...prepared.subarray(start, start + BLOCK)];
      const extreme = block.reduce((a, b) => (Math.abs(b) > Math.abs(a) ? b : a));
      const at = start + block.indexOf(extreme);
      expect((codes[at >> 1]! >> (4 * (at & 1))) & 15).toBe(0);
      const step = Math.abs(extreme) / 8;
      block.forEach((v, i) => {
        // Beside +7.5 steps (opposite the extreme) the grid ends: up to one step off there.
        expect(Math.abs(back[start + i]! - v)).toBeLessThan(
          (v * extreme < 0 && Math.abs(v) > 7 * step ? 1 : 0.5) * step * 1.01,
        );
      });
    }
  });

  it("tqN rows are the codes and the scale of TurboQuantMse", () => {
    for (const bits of [1, 2, 3, 4, 5, 6, 7, 8] as const) {
      for (const headDim of [24, 128]) {
        for (const [spec, options] of [
          [`paper-${bits},seed=6`, {}],
          [`k${bits}v${bits},seed=6`, { scale: "norm-preserving", search: true, trellis: bits === 2 }],
          [`paper-${bits},rotation=qr,scale=least-squares,seed=6`, { scale: "least-squares", rotation: "qr" }],
        ] as const) {
          const f = fixture(spec, headDim);
          const x = gaussianVector(headDim, bits);
          roundTrip(f, x);
          const code = new TurboQuantMse({ dimension: headDim, bits, seed: 6, ...options }).quantize(x);
          const planes = f.layout.k.planes.flatMap((p) => [...bytesOf(f, p)]);
          expect(planes).toEqual([...code.codes]);
          const scale = bytesOf(f, f.layout.k.scales[0]!);
          expect(scale[0]! | (scale[1]! << 8)).toBe(toFloat16Bits(code.scale));
        }
      }
    }
  });

  it("QJL rows are those of TurboQuantProd, and read as its reconstruction", () => {
    for (const bits of [2, 4, 8] as const) {
      const f = fixture(`paper-${bits}+qjl,seed=3`, 80);
      const x = gaussianVector(80, bits);
      const { back } = roundTrip(f, x);
      const prod = new TurboQuantProd({ dimension: 80, bits, seed: 3 });
      const code = prod.quantize(x);
      const { planes, scales } = f.layout.k;
      expect(planes.slice(0, -1).flatMap((p) => [...bytesOf(f, p)])).toEqual([...code.codes]);
      expect([...bytesOf(f, planes.at(-1)!)]).toEqual([...code.signs]);
      const norm = bytesOf(f, scales[1]!);
      expect(norm[0]! | (norm[1]! << 8)).toBe(toFloat16Bits(code.residualNorm));
      createRotation("hadamard", 80, 3).invert(back);
      // Sums of 80 f32 terms of about 1 in another order.
      expect(Math.sqrt(squaredDistance(back, prod.dequantize(code)))).toBeLessThan(1e-4);
    }
  });

  it("inner products agree with the vector as the width allows", () => {
    for (const bits of [1, 2, 3, 4, 5, 6, 7, 8] as const) {
      const { distortion } = new TurboQuantMse({ dimension: 128, bits });
      let error = 0;
      for (let i = 0; i < 40; i++) {
        const { prepared, back } = roundTrip(fixture(`k${bits}v${bits}`, 128), gaussianVector(128, i));
        error += squaredDistance(prepared, back) / innerProduct(prepared, prepared) / 40;
      }
      // Our recipe for K keeps the length: D' = 2(1 − √(1 − D)), above D by D²/4 and less what the search gains.
      expect(error).toBeLessThan(distortion * (bits === 1 ? 1.25 : 1.1));
      expect(error).toBeGreaterThan(distortion * 0.6);
    }
  });

  it("applies a calibration before the rotation: (x − mean) · balance", () => {
    const f = fixture("paper-8", 64);
    const x = gaussianVector(64, 7);
    const calibration = { ...PLAIN, mean: gaussianVector(64, 8), balance: gaussianVector(64, 9).map((v) => 1 + v * v) };
    const { prepared } = roundTrip(f, x, "k", calibration);
    const expected = x.map((v, i) => Math.fround(v - calibration.mean[i]!) * calibration.balance[i]!);
    createRotation("hadamard", 64, 0).apply(expected);
    expect(prepared).toEqual(expected);
    const identity = { ...PLAIN, mean: new Float32Array(64), balance: new Float32Array(64).fill(1) };
    expect(roundTrip(f, x, "k", identity).prepared).toEqual(roundTrip(f, x).prepared);
  });

  it("prepares queries: inner products with what is read are those of the vectors, less the shift of the mean", () => {
    for (const spec of ["f32", "q8_0", "q4_0r", "paper-8", "paper-8,rotation=qr", "paper-8,rotation=none"]) {
      const calibration = {
        ...PLAIN,
        mean: gaussianVector(80, 8),
        balance: gaussianVector(80, 9).map((v) => 1 + v * v),
      };
      for (const constants of [undefined, calibration]) {
        const f = fixture(spec, 80);
        const x = gaussianVector(80, 1);
        const q = gaussianVector(80, 2);
        const { prepared, back } = roundTrip(f, x, "k", constants);
        const query = q.slice();
        f.codec.prepareQuery(query, constants);
        const shifted = x.map((v, i) => v - (constants?.mean?.[i] ?? 0));
        const length = (v: Float32Array) => Math.sqrt(innerProduct(v, v));
        // f32 sums: a few 2^-24 of the product of lengths. What is read differs by the error of the code, no more.
        const slack = 1e-6 * length(query) * length(prepared);
        expect(Math.abs(innerProduct(query, prepared) - innerProduct(q, shifted)), spec).toBeLessThan(slack);
        const error = length(query) * Math.sqrt(squaredDistance(prepared, back));
        expect(Math.abs(innerProduct(query, back) - innerProduct(q, shifted)), spec).toBeLessThan(error + slack);
      }
    }
  });

  it("stores zeros as zeros", () => {
    for (const spec of SPECS) {
      for (const headDim of [24, 128]) {
        const { back } = roundTrip(fixture(spec, headDim), new Float32Array(headDim));
        expect(
          back.every((v) => v === 0),
          spec,
        ).toBe(true);
      }
    }
  });

  it("turns NaN into 0 and clamps infinities and, but for f32, 1e30: what is read is always finite", () => {
    for (const spec of SPECS) {
      for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 1e30, -3e38]) {
        const x = gaussianVector(128, 1);
        x[3] = bad;
        const clean = x.slice();
        const most = spec === "f32" ? (2 - 2 ** -23) * 2 ** 127 : 65504;
        clean[3] = Number.isNaN(bad) ? 0 : Math.max(-most, Math.min(most, bad));
        const f = fixture(spec, 128);
        const { back } = roundTrip(f, x);
        expect(back.every(Number.isFinite), `${spec} ${bad}`).toBe(true);
        const reference = fixture(spec, 128);
        roundTrip(reference, clean);
        expect(f.page.every((byte, at) => byte === reference.page[at])).toBe(true);
        // Every coordinate at the limit: norms beyond f16 are clamped, not infinite.
        const { back: full } = roundTrip(f, new Float32Array(128).fill(bad));
        expect(full.every(Number.isFinite), `${spec} all ${bad}`).toBe(true);
      }
    }
  });

  it("keeps tiny vectors in order: f16 scales reach down to 6e-8", () => {
    for (const spec of ["paper-4", "k4v4", "q8_0"]) {
      const x = gaussianVector(128, 2).map((v) => v * 1e-4);
      const { prepared, back } = roundTrip(fixture(spec, 128), x);
      expect(squaredDistance(prepared, back)).toBeLessThan(0.02 * innerProduct(x, x));
      expect(
        roundTrip(
          fixture(spec, 128),
          x.map(() => 1e-38),
        ).back.every((v) => Number.isFinite(v)),
      ).toBe(true);
    }
  });
});
