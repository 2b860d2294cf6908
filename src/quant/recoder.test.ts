/** What coding a token anew from finer codes costs against coding it from its exact value. */
import { describe, expect, it } from "vitest";
import { gaussianVector, squaredDistance } from "../../test/support/vectors.ts";
import { pageLayout } from "./page-layout.ts";
import { parseKvSpec } from "./parse-kv-spec.ts";
import { Recoder } from "./recoder.ts";
import { RowCodec } from "./row-codec.ts";
import { windowSide } from "./window-side.ts";

const DIM = 64;
const ROWS = 64;

/**
 * Squared error of values, coded from the exact value and from finer codes, and that of the finer codes themselves. from: a format whose values
 * are the finer codes; by default a window of 8 bits
 */
function distortions(kv: string, from?: string) {
  const format = parseKvSpec(kv).forLayer(0);
  const finerSide = from ? parseKvSpec(from).forLayer(0).v : windowSide({ windowBits: 8 });
  const main = pageLayout(format.k, format.v, DIM, 1);
  const finer = pageLayout(finerSide, finerSide, DIM, 1);
  const [codec, eight] = [format.v, finerSide].map((side) => new RowCodec(side, format, DIM));
  const recoder = new Recoder(finerSide, format.v, format, "v", DIM);
  const [exact, window, again] = [main, finer, main].map(({ numBytes }) => new Uint8Array(numBytes));
  const sums = { exact: 0, again: 0, eight: 0, length: 0 };
  for (let row = 0; row < ROWS; row++) {
    const x = gaussianVector(DIM, row);
    codec!.prepare(x);
    codec!.write(x, exact!, main, "v", 0, row);
    eight!.write(x, window!, finer, "v", 0, row);
    recoder.recode({ page: window!, layout: finer, row }, { page: again!, layout: main, row }, 0);
    const read = new Float32Array(DIM);
    codec!.read(exact!, main, "v", 0, row, read);
    sums.exact += squaredDistance(x, read);
    codec!.read(again!, main, "v", 0, row, read);
    sums.again += squaredDistance(x, read);
    eight!.read(window!, finer, "v", 0, row, read);
    sums.eight += squaredDistance(x, read);
    sums.length += squaredDistance(x, new Float32Array(DIM));
  }
  return sums;
}

describe("a token that leaves a window of 8 bits", () => {
  it.each(["k2v2", "k3v3", "k4v4"])("has an error in %s hardly larger than if it had been coded at once", (kv) => {
    const { exact, again, eight, length } = distortions(kv);
    expect(eight / length).toBeLessThan(1e-4);
    expect(again / exact).toBeLessThan(1.01);
  });

  it("has an error in 6 bits larger by no more than that of the 8 bits", () => {
    const { exact, again, eight } = distortions("k6v6");
    expect(again).toBeLessThan(exact + 1.5 * eight);
  });
});

describe("a page that leaves its tier", () => {
  it.each([
    ["k8v8", "k3v3", 1.01],
    ["k4v4", "k3v3", 1.08],
    ["k4v4", "k2v2", 1.1],
    // What a trellis gains over single codes is lost behind three bits.
    ["k3v3", "k2v2", 1.3],
    ["k3v3", "k2v2,trellis=off", 1.1],
  ])("from %s to %s has an error at most %f times that of starting there", (from, to, most) => {
    const { exact, again } = distortions(to, from);
    expect(again / exact).toBeLessThan(most);
  });
});
