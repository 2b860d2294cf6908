/** @file Schemas of calls: references go on to mean the same where the schema of the arguments is put. */
import { afterAll, beforeAll, expect, it } from "vitest";
import { loadFake } from "../../../test/support/fake-ops.ts";
import { collect } from "../../engine/generation.ts";
import type { LLM } from "../../engine/llm.ts";
import { callSchema, larkJson, parameterSchema } from "./call-schema.ts";

let llm: LLM;
beforeAll(async () => {
  ({ llm } = await loadFake({}));
});
afterAll(() => llm.dispose());

const closed = { type: "object", additionalProperties: false };
const answer = async (grammar: string): Promise<unknown> =>
  JSON.parse((await collect(llm.generate("Once", { temperature: 1, maxNewTokens: 300, grammar: { grammar } }))).text);

it.each<[string, object]>([
  ["a definition", { properties: { a: { $ref: "#/$defs/d" } }, $defs: { d: { enum: [1, 2] } } }],
  ["another property", { properties: { a: { $ref: "#/properties/b" }, b: { enum: [1, 2] } } }],
  ["a property with an odd name", { properties: { a: { $ref: "#/properties/x%20y" }, "x y": { enum: [1, 2] } } }],
  ["an anchor", { properties: { a: { $ref: "#d" } }, $defs: { other: { $anchor: "d", enum: [1, 2] } } }],
  ["an anchor in a property", { properties: { a: { $ref: "#d" }, b: { $anchor: "d", enum: [1, 2] } } }],
])("references to %s", async (_what, parameters) => {
  const tool = { name: "f", parameters: { ...closed, ...parameters, required: ["a"] } };
  const call = (await answer(`start: ${larkJson(callSchema(tool))}`)) as { name: string; arguments: { a: number } };
  expect(call.name).toBe("f");
  expect([1, 2]).toContain(call.arguments.a);
  expect([1, 2]).toContain(await answer(`start: ${larkJson(parameterSchema(tool, "a"))}`));
});

it("data that look like references stay what they are", async () => {
  const parameters = { ...closed, properties: { a: { const: { $ref: "#/x" } } }, required: ["a"] };
  const call = await answer(`start: ${larkJson(callSchema({ name: "f", parameters }))}`);
  expect(call).toEqual({ name: "f", arguments: { a: { $ref: "#/x" } } });
});
