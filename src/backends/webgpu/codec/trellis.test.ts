/** @file The trellis in the text of kernels: the bits by which a code word finds its values, in f16, which no software device runs, too. */
import { describe, expect, it } from "vitest";
import { CounterRng } from "../../../math/rng.ts";
import { packPlane } from "../../../quant/bit-pack.ts";
import { pageLayout } from "../../../quant/page-layout.ts";
import { parseKvSpec } from "../../../quant/parse-kv-spec.ts";
import { trellisPlaces } from "../../../quant/trellis.ts";
import { loadUnits } from "./read-text.ts";
import type { TableUse } from "./table-text.ts";

const rng = new CounterRng(3, 3);

/** The value of WGSL statements on numbers without a sign, which but for names of types are JavaScript's. */
function evaluate(lines: readonly string[], expression: string, names: Readonly<Record<string, unknown>>): number {
  const body = [...lines, `return ${expression};`]
    .join("\n")
    .replace(/bitcast<(f32|vec2<f16>)>|f16(?=\()/g, "")
    .replaceAll(">>", ">>>")
    .replace(/(\d)u\b/g, "$1");
  const all = {
    ...names,
    min: Math.min,
    select: (no: unknown, yes: unknown, isYes: boolean) => (isYes ? yes : no),
  };
  return new Function(...Object.keys(all), body)(...Object.values(all)) as number;
}

describe("places of a trellis in the table", () => {
  const { k } = parseKvSpec("k2v2,trellis=on").forLayer(0);
  // The table gives back where it was asked.
  const lut = new Proxy([], { get: (_, at) => Number(at) });

  it.each([8, 24, 40, 72, 64, 128])("head_dim %d", (headDim) => {
    const layout = pageLayout(k, k, headDim, 2);
    const page = new Uint8Array(layout.numBytes).fill(0xff);
    const plane = layout.k.planes[0]!;
    const codes = Uint8Array.from({ length: headDim }, (_, i) => Math.floor(rng.uniform(i) * 4));
    const [head, row] = [1, 5];
    packPlane(codes, headDim, 2, 0, page, plane.offset + head * plane.headStride + row * plane.rowBytes);
    const places = codes.slice();
    trellisPlaces(places);
    const pages = new Uint32Array(page.buffer, 0, page.length >> 2);
    const at = { page: "page", head: "head", row: "row", unit: "unit" };
    for (const half of [true, false]) {
      const use: TableUse = { half, tableAt: 0, copies: 1, copy: "" };
      for (const count of headDim % 32 === 0 ? ([1, 4] as const) : ([1] as const)) {
        const { lines, units } = loadUnits(layout.k, use, at, count, "k", { words: "pages", quads: "" });
        for (let unit = 0; unit < headDim / 8; unit += count) {
          for (const [u, pairs] of units.entries()) {
            for (const [p, text] of pairs.entries()) {
              const i = (unit + u) * 8 + 2 * p;
              const names = { pages, lut, page: 0, head, row, unit };
              if (half) {
                expect(evaluate(lines, text, names)).toBe(places[i]! | (codes[i + 1]! << 4));
                continue;
              }
              const [first, second] = /^vec2<f32>\((bitcast.*), (bitcast.*)\)$/.exec(text)!.slice(1);
              expect(evaluate(lines, first!, names)).toBe(places[i]);
              expect(evaluate(lines, second!, names)).toBe(places[i + 1]);
            }
          }
        }
      }
    }
  });
});
