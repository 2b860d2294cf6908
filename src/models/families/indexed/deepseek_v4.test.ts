import { expect, it } from "vitest";
import { seededModel } from "../../../../test/support/seeded-checkpoint.ts";
import { parseModelConfig } from "../../config.ts";
import { layoutOf, stateShapes } from "../../layout.ts";

/** Tokens of a row of each state that has rows of several. */
function ratesOf(fields: object): number[] {
  const { config } = seededModel("deepseek_v4");
  const { compress_rates: _, ...own } = config as { readonly compress_rates?: unknown };
  const layout = layoutOf(parseModelConfig({ ...own, ...fields }, "config.json"));
  const rates = stateShapes(layout).flatMap(({ shape }) =>
    "tokensPerRow" in shape && typeof shape.tokensPerRow === "number" && shape.tokensPerRow > 1
      ? shape.tokensPerRow
      : [],
  );
  return [...new Set(rates)].sort((a, b) => a - b);
}

it("reads the tokens of a compressed row: those of older fields before the newer one, and the usual ones", () => {
  const rates = { compressed_sparse_attention: 2, heavily_compressed_attention: 16 };
  expect(ratesOf({})).toEqual([4, 128]);
  expect(ratesOf({ compress_rates: rates })).toEqual([2, 16]);
  expect(ratesOf({ compress_rate_csa: 8 })).toEqual([8, 128]);
  expect(ratesOf({ compress_rates: rates, compress_rate_csa: 8 })).toEqual([8, 16]);
});
