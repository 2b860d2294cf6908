import fc from "fast-check";
import { expect, it } from "vitest";
import { typeOf } from "../quant/codecs/registry.ts";
import { parseKvSpec } from "../quant/parse-kv-spec.ts";
import { parseRecipe, specOf, specOfOne } from "./layer-spec.ts";

it("any widths survive the way through the text", () => {
  const bits = fc.integer({ min: 1, max: 8 });
  fc.assert(
    fc.property(fc.array(fc.record({ k: bits, v: bits }), { minLength: 1, maxLength: 12 }), (layers) => {
      const modifiers = ["window=16bit", "window=32"];
      const spec = parseKvSpec(specOf({ modifiers }, layers)).forModel(layers.map(() => ["full"]));
      for (const [i, { k, v }] of layers.entries()) {
        const format = spec.forLayer(i);
        expect(format).toMatchObject({ window: 32, sinks: 4 });
        expect([typeOf(format.k), typeOf(format.v)]).toEqual([`tq${k}`, `tq${v}`]);
      }
    }),
  );
});

it("is short", () => {
  const layers = [8, 8, 4, 4, 4, 5].map((k) => ({ k, v: 4 }));
  expect(specOf({ modifiers: [] }, layers)).toBe("k4v4,layers=0-1:k8v4+5:k5v4");
  expect(specOf({ modifiers: ["sinks=0"] }, layers.slice(2, 4))).toBe("k4v4,sinks=0");
});

it("one side of one layer alone, with the recipe", () => {
  const recipe = parseRecipe("k4v4,scale=norm,window=0");
  expect(recipe).toEqual({ bits: { k: 4, v: 4 }, modifiers: ["scale=norm", "window=0"] });
  const spec = parseKvSpec(specOfOne(recipe, 2, "v", 3));
  expect(spec.forLayer(2)).toMatchObject({
    k: { kind: "float", bits: 16 },
    v: { kind: "scalar", bits: 3, scale: "norm", search: true },
    sinks: 4,
    window: 0,
  });
  expect(spec.forLayer(1)).toMatchObject({ k: { kind: "float", bits: 16 }, v: { kind: "float", bits: 16 } });
  expect(spec.calibration).toBe("auto");
});

it("refuses what has no widths to look for", () => {
  expect(() => parseRecipe("paper-4")).toThrow(/expected a kNvM preset .* got paper-4/);
  expect(() => parseRecipe("k4v4,layers=0:k8v8")).toThrow(/got layers=0:k8v8/);
  expect(() => parseRecipe("k4v4,v=f16")).toThrow(/got v=f16/);
});
