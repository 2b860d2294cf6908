import { expect, it } from "vitest";
import { TurboQuantError } from "../errors.ts";
import { ConfigFields } from "./config-fields.ts";

const fields = (json: Record<string, unknown>) => new ConfigFields(json, "config.json");

it("null is absent, and still mentioned", () => {
  const config = fields({ a: null });
  expect([config.has("a"), config.mentions("a"), config.mentions("b")]).toEqual([false, true, false]);
  expect(config.integer("a", 1, 9, 4)).toBe(4);
  expect(config.object("a")).toBeUndefined();
});

it("names of Object's own members are no fields", () => {
  expect(fields({}).has("constructor")).toBe(false);
  expect(fields({}).string("toString", "none")).toBe("none");
});

it("takes both ends of a range", () => {
  const config = fields({ low: 1, high: 9 });
  expect([config.integer("low", 1, 9), config.integer("high", 1, 9), config.number("high", 1, 9)]).toEqual([1, 9, 9]);
});

it.each<[string, (config: ConfigFields) => unknown]>([
  ["x: expected a whole number from 1 to 9, got 10", (config) => config.integer("x", 1, 9)],
  ["half: expected a whole number from 1 to 9, got 1.5", (config) => config.integer("half", 1, 9)],
  ["x: expected a number from 0 to 1, got 10", (config) => config.number("x", 0, 1)],
  ["gone: expected a number, got nothing", (config) => config.integer("gone", 1, 9)],
  ['text: expected a number, got "1"', (config) => config.number("text", 0, 9)],
  ["x: expected true or false, got 10", (config) => config.boolean("x", true)],
  ["x: expected a string, got 10", (config) => config.string("x")],
  ["list: expected an object, got [-1]", (config) => config.object("list")],
  ["list: expected a token id or a list of them, got [-1]", (config) => config.tokenIds("list")],
  ["nested.type: expected a string, got nothing", (config) => config.object("nested")!.string("type")],
])("refuses with the file, the field and what is there: %s", (message, read) => {
  const config = fields({ x: 10, half: 1.5, text: "1", list: [-1], nested: {} });
  let error: unknown;
  try {
    read(config);
  } catch (caught) {
    error = caught;
  }
  expect(error).toBeInstanceOf(TurboQuantError);
  expect(error).toMatchObject({ code: "invalid_file" });
  expect((error as Error).message).toContain(`config.json: ${message}; `);
});

it("token ids are one, several or none", () => {
  const config = fields({ one: 7, several: [7, 0] });
  expect([config.tokenIds("one"), config.tokenIds("several"), config.tokenIds("gone")]).toEqual([[7], [7, 0], []]);
});

it("takes a null that stands in the file for false, and the fallback for what is left out", () => {
  const config = new ConfigFields({ x: null, y: true }, "config.json");
  expect([config.boolean("x", true), config.boolean("y", false), config.boolean("z", true)]).toEqual([
    false,
    true,
    true,
  ]);
});
