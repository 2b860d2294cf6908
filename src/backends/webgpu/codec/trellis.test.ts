/**
 * @file The trellis on a device: pages byte by byte and attention by both decode kernels and the one of prefill against the reference;
 * of the f16 kernels, which no software device runs, the bits by which a code word finds its values.
 */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { GPU_TIMEOUT_MS, gpuSkip } from "../../../../test/support/gpu.ts";
import { differenceOf, type KvCase } from "../../../../test/support/kv-case.ts";
import { tolerance } from "../../../../test/tolerances.ts";
import { CounterRng } from "../../../math/rng.ts";
import { packPlane } from "../../../quant/bit-pack.ts";
import { pageLayout } from "../../../quant/page-layout.ts";
import { parseKvSpec } from "../../../quant/parse-kv-spec.ts";
import { trellisPlaces } from "../../../quant/trellis.ts";
import { createReferenceBackend } from "../../reference/backend.ts";
import { createWebGpuBackend, type WebGpuBackend } from "../backend.ts";
import { loadUnits } from "./read-text.ts";
import type { TableUse } from "./table-text.ts";

const rng = new CounterRng(3, 3);
const CODES = "trellis=on,sinks=0,window=0";
/** Steps of up to four tokens are decoded, longer ones go through the tiles. */
const GRID: readonly KvCase[] = [
  { kv: `k2v2,${CODES}`, headDim: 8, numHeads: 3, numKvHeads: 3, steps: [62, 1, 2] },
  { kv: `k2v4,${CODES}`, headDim: 40, numHeads: 3, steps: [66, 1], calibrated: true },
  { kv: `k4v2,${CODES}`, headDim: 80, numHeads: 5, steps: [5, 1, 60, 2], calibrated: true },
  {
    kv: "k2v2,trellis=on,window=20,sinks=3",
    headDim: 64,
    numHeads: 4,
    numKvHeads: 2,
    steps: [65, 1],
    calibrated: true,
  },
  { kv: `k2v2,${CODES}`, headDim: 128, steps: [70, 1], slidingWindow: 50 },
  { kv: `k2v2,k=f16,${CODES}`, headDim: 72, steps: [20, 1], calibrated: true },
  // As much workgroup memory as there is; vectors of nothing, of which codes are as good as others.
  { kv: `k8v2,${CODES}`, headDim: 256, steps: [9, 1], calibrated: true, fill: (i) => (i & 1024 ? 0 : rng.gaussian(i)) },
  { kv: `k2v2,${CODES},scale=norm`, headDim: 256, steps: [9, 1], fill: (i) => (i & 1024 || i % 64 !== 3 ? 0 : 50) },
];

describe.skipIf(gpuSkip)("webgpu trellis", () => {
  describe.each([{}, { without: ["subgroups", "f16"] }] as const)("%j", (options) => {
    let gpu: WebGpuBackend;
    const reference = createReferenceBackend();
    beforeAll(async () => {
      gpu = await createWebGpuBackend(options);
    });
    afterAll(() => gpu?.dispose());

    // Without subgroups only the decode kernel is another one.
    const grid = "without" in options ? GRID.filter((_, i) => [1, 3].includes(i)) : GRID;
    it.each(grid.map((c) => [`${c.kv} d=${c.headDim} ${c.steps.join("+")}`, c] as const))(
      "%s",
      async (_, c) => {
        const { pages, output } = await differenceOf(gpu, reference, c);
        expect(pages).toBeLessThanOrEqual(gpu.context.isSoftware ? 0 : tolerance.pageBytes.max);
        expect(output).toBeLessThan((gpu.context.features.f16 ? tolerance.attentionHalf : tolerance.attentionGpu).max);
      },
      GPU_TIMEOUT_MS,
    );
  });
});

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
