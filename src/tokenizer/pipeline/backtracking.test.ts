/** @file Patterns that take forever on short texts are refused when a tokenizer is loaded. */
import { expect, it } from "vitest";
import { Component } from "./component.ts";
import { compilePattern } from "./pattern.ts";

const component = new Component({ type: "Split" }, "tokenizer.json: pre_tokenizer");

it.each(["<image:(x+x+)+>", "(?:a|a)*b"])("%s is refused by its name", (pattern) => {
  expect(() => compilePattern(pattern, component)).toThrow(
    `tokenizer.json: pre_tokenizer: the pattern ${JSON.stringify(pattern)} (it takes forever on texts such as`,
  );
});

it.each([
  "(?i:'s|'t)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
  "(?:\\p{L}\\p{M}*(?: \\p{L}\\p{M}*)*)+",
  "(?=(\\d{3})+(?!\\d))",
  "(?>a+)+b",
])("%s is not", (pattern) => {
  expect(compilePattern(pattern, component)).toBeInstanceOf(RegExp);
});
