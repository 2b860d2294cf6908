/** @file `/v1/responses` with the official client, and what stands beside it: templates, version, readiness. */
import type OpenAI from "openai";
import { zodTextFormat } from "openai/helpers/zod";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { startServer, type TestServer } from "../../../test/support/server.ts";

const ASK = "What is the capital of France?";
const TOOL: OpenAI.Responses.FunctionTool = {
  type: "function",
  name: "weather",
  description: "The weather of a city",
  strict: true,
  parameters: {
    type: "object",
    properties: { city: { enum: ["Rome", "Paris"] } },
    required: ["city"],
    additionalProperties: false,
  },
};

let server: TestServer;
let client: OpenAI;
beforeAll(async () => {
  server = await startServer({ fake: {} });
  client = server.client;
});
afterAll(() => server.stop());

/** What the same conversation gets as a chat. */
async function chatted(messages: object[], more: object = {}): Promise<string> {
  const { json } = await server.post("/v1/chat/completions", { messages, temperature: 0, max_tokens: 8, ...more });
  return json.choices[0].message.content;
}

const settings = { model: "fake", temperature: 0, max_output_tokens: 8 };

describe("responses", () => {
  it("say what a chat says, in one piece and in events", async () => {
    const expected = await chatted([
      { role: "system", content: "Be brief." },
      { role: "user", content: ASK },
    ]);
    const request = { ...settings, instructions: "Be brief.", input: ASK };
    const response = await client.responses.create(request);
    expect(response.output_text).toBe(expected);
    expect(response).toMatchObject({ object: "response", status: "incomplete", error: null });
    expect(response.incomplete_details).toEqual({ reason: "max_output_tokens" });
    expect(response.usage).toMatchObject({ output_tokens: 8 });
    const types: string[] = [];
    let text = "";
    let numbers = 0;
    const stream = client.responses.stream({ ...request, store: false });
    for await (const event of stream) {
      expect(event.sequence_number).toBe(numbers++);
      if (types.at(-1) !== event.type) types.push(event.type);
      if (event.type === "response.output_text.delta") text += event.delta;
    }
    expect(text).toBe(expected);
    expect(types).toEqual([
      "response.created",
      "response.in_progress",
      "response.output_item.added",
      "response.content_part.added",
      "response.output_text.delta",
      "response.output_text.done",
      "response.content_part.done",
      "response.output_item.done",
      "response.incomplete",
    ]);
    expect((await stream.finalResponse()).output_text).toBe(expected);
  });

  it("are stored, and others go on from them without their instructions", async () => {
    const first = await client.responses.create({ ...settings, instructions: "Be brief.", input: ASK });
    const second = await client.responses.create({
      ...settings,
      input: "And of Spain?",
      previous_response_id: first.id,
    });
    const expected = await chatted([
      { role: "user", content: ASK },
      { role: "assistant", content: first.output_text },
      { role: "user", content: "And of Spain?" },
    ]);
    expect(second.output_text).toBe(expected);
    const items = [
      { role: "user" as const, content: ASK },
      ...(first.output as OpenAI.Responses.ResponseInputItem[]),
      { role: "user" as const, content: [{ type: "input_text" as const, text: "And of Spain?" }] },
    ];
    expect((await client.responses.create({ ...settings, input: items })).output_text).toBe(expected);
    expect(await client.responses.retrieve(first.id)).toMatchObject({ id: first.id, output: first.output });
    await client.responses.delete(first.id);
    await expect(client.responses.retrieve(first.id)).rejects.toMatchObject({ status: 404 });
    const unkept = await client.responses.create({ ...settings, input: ASK, store: false });
    await expect(client.responses.retrieve(unkept.id)).rejects.toMatchObject({ status: 404 });
    await expect(
      client.responses.create({ ...settings, input: ASK, previous_response_id: unkept.id }),
    ).rejects.toMatchObject({ status: 404, param: "previous_response_id" });
  });

  it("that are cut off by the end of the server have failed, and are not kept", async () => {
    const ending = await startServer({ fake: { stepMs: 1 } });
    const stream = await ending.client.responses.create({
      ...settings,
      max_output_tokens: 4000,
      input: ASK,
      stream: true,
    });
    let last: OpenAI.Responses.ResponseStreamEvent | undefined;
    for await (const event of stream) {
      if (event.type === "response.output_text.delta" && last?.type !== event.type) void ending.scheduler.close();
      last = event;
    }
    if (last?.type !== "response.failed") throw new Error(`it ended with ${last?.type}`);
    const { id, output, error } = last.response;
    expect({ error, output }).toMatchObject({
      error: { code: "server_error" },
      output: [{ type: "message", status: "incomplete" }],
    });
    await expect(ending.client.responses.retrieve(id)).rejects.toMatchObject({ status: 404 });
    await ending.stop();
  });

  it("call tools, and take their results", async () => {
    const request = { ...settings, max_output_tokens: 200, input: ASK, tools: [TOOL] };
    const choice = { parallel_tool_calls: false, tool_choice: "required" as const };
    const response = await client.responses.create({ ...request, ...choice });
    const call = response.output.find((item) => item.type === "function_call")!;
    expect(call).toMatchObject({ name: "weather", status: "completed" });
    expect(["Rome", "Paris"]).toContain(JSON.parse(call.arguments).city);
    const stream = client.responses.stream({ ...request, ...choice });
    let text = "";
    for await (const event of stream) if (event.type === "response.function_call_arguments.delta") text += event.delta;
    expect(text).toBe(call.arguments);
    const result = { type: "function_call_output" as const, call_id: call.call_id, output: "Sunny." };
    const after = await client.responses.create({ ...settings, input: [result], previous_response_id: response.id });
    expect(after.output_text).not.toBe("");
  });

  it("are bound to schemas", async () => {
    const format = zodTextFormat(z.object({ city: z.enum(["Rome", "Paris"]) }), "city");
    const response = await client.responses.parse({
      ...settings,
      max_output_tokens: 200,
      input: ASK,
      text: { format },
    });
    expect(["Rome", "Paris"]).toContain(response.output_parsed!.city);
  });

  const ASKED = { role: "user", content: ASK };
  const NOTHING = { type: "json_schema", name: "nothing", schema: { not: {} } };
  it.each<[string, object, number, string?]>([
    ["no input", {}, 400, "input"],
    [
      "an image",
      { input: [{ role: "user", content: [{ type: "input_image", image_url: "x" }] }] },
      400,
      "input.0.content",
    ],
    [
      "a role that is none",
      { instructions: "Hi", input: [ASKED, { role: "owner", content: "x" }] },
      400,
      "input.1.role",
    ],
    [
      "a result that is no text",
      { input: [ASKED, { type: "function_call_output", call_id: "a", output: 1 }] },
      400,
      "input.1.output",
    ],
    ["a call without a name", { input: [ASKED, { type: "function_call", arguments: "{}" }] }, 400, "input.1.name"],
    ["a tool with a strange name", { input: ASK, tools: [{ ...TOOL, name: "a b" }] }, 400, "tools.0.name"],
    ["a schema that cannot be enforced", { input: ASK, text: { format: NOTHING } }, 400, "text.format"],
    ["an effort that is none", { input: ASK, reasoning: { effort: "a bit" } }, 400, "reasoning.effort"],
    ["a search", { input: ASK, tools: [{ type: "web_search" }] }, 400],
    ["an item that is none", { input: [{ type: "computer_call" }] }, 400, "input.0.type"],
    ["a tool that is none", { input: ASK, tools: [TOOL], tool_choice: { type: "function", name: "x" } }, 400],
    ["background work", { input: ASK, background: true }, 400, "background"],
    ["a misspelt field", { input: ASK, temprature: 1 }, 400, "temprature"],
  ])("are refused for %s", async (_what, body, status, param) => {
    const answer = await server.post("/v1/responses", body);
    expect(answer.status).toBe(status);
    if (param !== undefined) expect(answer.json.error.param).toBe(param);
  });
});

describe("beside them", () => {
  it("templates are applied, and nothing is computed", async () => {
    const { json } = await server.post("/apply-template", { messages: [{ role: "user", content: "Hi" }] });
    expect(json).toEqual({ prompt: "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n" });
  });

  it("version and readiness", async () => {
    expect(await (await fetch(`${server.url}/version`)).json()).toEqual({ version: "test" });
    expect((await fetch(`${server.url}/ready`)).status).toBe(200);
  });
});
