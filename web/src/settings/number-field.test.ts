import { h } from "preact";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { rendered, stubBrowser } from "../../../test/support/rendered.ts";
import { NumberField } from "./number-field.tsx";

beforeEach(stubBrowser);
afterEach(() => vi.unstubAllGlobals());

it("takes numbers in its range, nothing where something else may decide, and springs back from the rest", async () => {
  const onNumber = vi.fn();
  const field = { label: "Top-p", least: 0, most: 1, step: 0.01, value: 0.5, onNumber };
  const type = async (text: string, otherwise?: string): Promise<string> => {
    const drawn = await rendered(h(NumberField, { ...field, ...(otherwise && { otherwise }) }));
    const input = drawn.root.querySelector("input")!;
    input.value = text;
    await drawn.after(() => input.dispatchEvent(new Event("change")));
    const { value } = input;
    drawn.close();
    return value;
  };
  await type("0.9");
  await type("", "As the makers say");
  expect(onNumber.mock.calls).toEqual([[0.9], [null]]);
  expect([await type("7"), await type("x"), await type("")]).toEqual(["0.5", "0.5", "0.5"]);
  expect(onNumber).toHaveBeenCalledTimes(2);
});
