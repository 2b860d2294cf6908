import { expect, it } from "vitest";
import { headsText } from "./heads-text.ts";

it.each([
  [{ numKvHeads: 2, headDim: 64 }, "2 KV heads of 64"],
  [{ numKvHeads: 2, headDim: 64, valueDim: 64 }, "2 KV heads of 64"],
  [{ numKvHeads: 4, headDim: 192, valueDim: 128 }, "4 KV heads of 192 and 128"],
  [{ numKvHeads: 1, headDim: 512, rotaryKeyDim: 64 }, "latent rows of 512 and 64"],
])("%j: %s", (heads, text) => {
  expect(headsText(heads)).toBe(text);
});
