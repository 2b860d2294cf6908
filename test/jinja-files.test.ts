/** @file Templates against what Python's jinja2 renders from them, set up as Transformers does. */
import { readFileSync } from "node:fs";
import { expect, it } from "vitest";
import { parse, render, TemplateError } from "../src/tokenizer/jinja/index.ts";

const file = new URL("fixtures/jinja/expected.json", import.meta.url);
const { variables, cases } = JSON.parse(readFileSync(file, "utf8")) as {
  readonly variables: Readonly<Record<string, unknown>>;
  readonly cases: readonly (readonly [template: string, text: string | null])[];
};

it("renders every template as Jinja2 does, and refuses what it refuses", () => {
  expect(cases.length).toBeGreaterThan(200);
  for (const [template, expected] of cases) {
    let text: string | null = null;
    try {
      text = render(parse(template), variables);
    } catch (cause) {
      expect(cause, template).toBeInstanceOf(TemplateError);
    }
    expect(text, template).toBe(expected);
  }
});
