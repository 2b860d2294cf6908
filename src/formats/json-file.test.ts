/** @file JSON as Python writes it. */
import { expect, it } from "vitest";
import { parseJson } from "./json-file.ts";

const parse = (text: string): unknown => parseJson(new TextEncoder().encode(text), "m/config.json");

it("takes the infinities that Python writes, and leaves the word in texts", () => {
  expect(parse('{"time_step_limit": [0.0, Infinity], "least": -Infinity, "note": "to \\"Infinity\\""}')).toEqual({
    time_step_limit: [0, Number.POSITIVE_INFINITY],
    least: Number.NEGATIVE_INFINITY,
    note: 'to "Infinity"',
  });
  expect(() => parse('{"a": Infinite}')).toThrow(/m\/config.json: expected JSON/);
});
