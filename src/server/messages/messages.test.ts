/** @file `/v1/messages`: it says what a chat of the same messages says, in one piece and in events. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startServer, type TestServer } from "../../../test/support/server.ts";
import { MessageWriter } from "./message-writer.ts";

const ASK = "What is the capital of France?";
const TOOL = {
  name: "weather",
  description: "The weather of a city",
  input_schema: {
    type: "object",
    properties: { city: { enum: ["Rome", "Paris"] } },
    required: ["city"],
    additionalProperties: false,
  },
};
const CHAT_TOOL = {
  type: "function",
  function: { name: TOOL.name, description: TOOL.description, parameters: TOOL.input_schema },
};
const CALL = { type: "tool_use", id: "a", name: TOOL.name, input: {} };
const RESULT = { type: "tool_result", tool_use_id: "a", content: "Sunny." };
const boundTo = (schema: object) => ({ format: { type: "json_schema", schema } });
const user = (content: unknown) => ({ role: "user", content });

let server: TestServer;
beforeAll(async () => {
  server = await startServer({ fake: { stepMs: 1 } });
});
afterAll(() => server.stop());

const settings = { model: "fake", temperature: 0, max_tokens: 8 };
const ask = (messages: object[], more: object = {}) =>
  server.post("/v1/messages", { ...settings, messages, ...more }, { "x-api-key": "none" });

/** What the same conversation gets as a chat. */
async function chatted(messages: object[], more: object = {}): Promise<string> {
  const { json } = await server.post("/v1/chat/completions", { ...settings, messages, ...more });
  return json.choices[0].message.content;
}

// biome-ignore lint/suspicious/noExplicitAny: events of many forms
type Event = any;

async function* eventsOf(url: string, messages: object[], more: object = {}): AsyncGenerator<Event, void> {
  const body = JSON.stringify({ ...settings, messages, stream: true, ...more });
  const response = await fetch(`${url}/v1/messages`, { method: "POST", body });
  let text = "";
  for await (const piece of response.body!.pipeThrough(new TextDecoderStream())) {
    const events = (text + piece).split("\n\n");
    text = events.pop()!;
    for (const event of events) {
      const [, type, data] = /^event: (.*)\ndata: (.*)$/.exec(event)!;
      const value = JSON.parse(data!);
      expect(value.type).toBe(type);
      yield value;
    }
  }
}

async function collected(messages: object[], more: object = {}): Promise<Event[]> {
  const events = [];
  for await (const event of eventsOf(server.url, messages, more)) events.push(event);
  return events;
}

describe("messages", () => {
  it("say what a chat says, in one piece and in events", async () => {
    const expected = await chatted([{ role: "system", content: "Be brief." }, user(ASK)]);
    const system = [{ type: "text", text: "Be brief.", cache_control: { type: "ephemeral" } }];
    const { status, json } = await ask([user([{ type: "text", text: ASK }])], { system });
    expect(status).toBe(200);
    expect(json).toMatchObject({
      id: expect.stringMatching(/^msg_/),
      type: "message",
      role: "assistant",
      content: [{ type: "text", text: expected }],
      stop_reason: "max_tokens",
      stop_sequence: null,
    });
    const { usage } = json;
    expect(usage.output_tokens).toBe(8);
    const { json: count } = await server.post("/v1/messages/count_tokens", { messages: [user(ASK)], system });
    expect(count).toEqual({ input_tokens: usage.input_tokens + usage.cache_read_input_tokens });

    const events = await collected([user(ASK)], { system });
    const deltas = events.filter(({ type }) => type === "content_block_delta");
    expect(events.map(({ type }) => type)).toEqual([
      "message_start",
      "content_block_start",
      ...deltas.map(({ type }) => type),
      "content_block_stop",
      "message_delta",
      "message_stop",
    ]);
    expect(deltas.map(({ delta }) => delta.text).join("")).toBe(expected);
    expect(events[0].message).toMatchObject({ content: [], stop_reason: null, usage: { output_tokens: 0 } });
    expect(events.at(-2)).toMatchObject({
      delta: { stop_reason: "max_tokens", stop_sequence: null },
      usage: { output_tokens: 8 },
    });
  });

  it("end by themselves, or at a text that they name", async () => {
    const expected = await chatted([user(ASK)]);
    const stop = expected.slice(3, 5);
    const { json } = await ask([user(ASK)], { stop_sequences: ["never said", stop] });
    expect(json).toMatchObject({ stop_reason: "stop_sequence", stop_sequence: stop });
    expect(json.content[0].text).toBe(expected.slice(0, expected.indexOf(stop)));
    const format = { type: "json_schema", schema: { const: 7 } };
    const bound = await ask([user(ASK)], { max_tokens: 100, output_config: { format } });
    expect(bound.json).toMatchObject({ content: [{ type: "text", text: "7" }], stop_reason: "end_turn" });
  });

  it("go on with what the assistant has begun to say", async () => {
    const messages = [user(ASK), { role: "assistant", content: "The capital" }];
    const expected = await chatted(messages, { continue_final_message: true });
    expect((await ask(messages)).json.content[0].text).toBe(expected);
  });

  it("call tools, and take their results", async () => {
    const request = { tools: [TOOL], max_tokens: 200, tool_choice: { type: "any", disable_parallel_tool_use: true } };
    const { json } = await ask([user(ASK)], request);
    expect(json.stop_reason).toBe("tool_use");
    const [call] = json.content.filter(({ type }: Event) => type === "tool_use");
    expect(call).toMatchObject({ name: "weather", input: { city: expect.stringMatching(/^(?:Rome|Paris)$/) } });
    const events = await collected([user(ASK)], request);
    const inputs = events.flatMap(({ delta }) => delta?.partial_json ?? []);
    expect(JSON.parse(inputs.join(""))).toEqual(call.input);
    expect(events.find((event) => event.content_block?.type === "tool_use").content_block.input).toEqual({});

    const result = { type: "tool_result", tool_use_id: call.id, content: [{ type: "text", text: "Sunny." }] };
    const after = await ask(
      [user(ASK), { role: "assistant", content: json.content }, user([result, { type: "text", text: "And now?" }])],
      { tools: [TOOL] },
    );
    const tool_calls = [
      { id: call.id, type: "function", function: { name: "weather", arguments: JSON.stringify(call.input) } },
    ];
    const expected = await chatted(
      [
        user(ASK),
        { role: "assistant", content: "", tool_calls },
        { role: "tool", tool_call_id: call.id, content: "Sunny." },
        user("And now?"),
      ],
      { tools: [CHAT_TOOL] },
    );
    expect(after.json.content).toEqual([{ type: "text", text: expected }]);
  });

  it("a result that is an error says so", async () => {
    const before = [user(ASK), { role: "assistant", content: [CALL] }];
    const count = async (result: object) =>
      (await server.post("/v1/messages/count_tokens", { messages: [...before, user([result])] })).json;
    const said = await count({ ...RESULT, content: "Error: Sunny." });
    expect(await count({ ...RESULT, is_error: true })).toEqual(said);
    expect(await count(RESULT)).not.toEqual(said);
  });

  it("write thoughts, words and calls as blocks of their own", () => {
    const writer = new MessageWriter();
    const call = (id: string | undefined, given: string) => ({
      tool_calls: [{ index: 0, ...(id && { id }), function: { ...(id && { name: "f" }), arguments: given } }],
    });
    const deltas = [
      { reasoning_content: "Hm" },
      { reasoning_content: "." },
      { content: "I look." },
      call("a", ""),
      call(undefined, '{"x": '),
      call(undefined, "1}"),
      call("b", '{"x": '),
    ];
    const events = [...deltas.flatMap((delta) => [...writer.push(delta)]), ...writer.end()];
    expect(writer.content).toEqual([
      { type: "thinking", thinking: "Hm.", signature: "" },
      { type: "text", text: "I look." },
      { type: "tool_use", id: "a", name: "f", input: { x: 1 } },
      { type: "tool_use", id: "b", name: "f", input: {} },
    ]);
    const of = (type: string) => events.filter((event) => event.type === type).map((event: Event) => event.index);
    expect(of("content_block_start")).toEqual([0, 1, 2, 3]);
    expect(of("content_block_stop")).toEqual([0, 1, 2, 3]);
    expect(of("content_block_delta")).toEqual([0, 0, 1, 2, 2, 3]);
  });

  it("that are cut off by the end of the server end with an error", async () => {
    const ending = await startServer({ fake: { stepMs: 1 } });
    let last: Event;
    for await (const event of eventsOf(ending.url, [user(ASK)], { max_tokens: 4000 })) {
      if (event.type === "content_block_start") void ending.scheduler.close();
      last = event;
    }
    expect(last).toMatchObject({
      type: "error",
      error: { type: "overloaded_error", message: expect.stringContaining("shutting down") },
    });
    await ending.stop();
  });

  it.each<[string, object, number, string?]>([
    ["no messages", { messages: [] }, 400, "messages"],
    ["no max_tokens", { max_tokens: undefined }, 400, "max_tokens"],
    ["a message of the system's", { messages: [{ role: "system", content: "x" }] }, 400, "messages.0.role"],
    ["an image", { messages: [user([{ type: "image", source: {} }])] }, 400, "messages.0.content"],
    ["a tool of the server's", { tools: [{ type: "web_search_20250305", name: "web_search" }] }, 400],
    ["a tool that is none", { tools: [TOOL], tool_choice: { type: "tool", name: "x" } }, 400, "tool_choice"],
    ["a call of the user's", { messages: [user([CALL])] }, 400, "messages.0.content.0.type"],
    [
      "a result of the assistant's",
      { messages: [{ role: "assistant", content: [RESULT] }] },
      400,
      "messages.0.content.0",
    ],
    ["a tool with a strange name", { tools: [TOOL, { ...TOOL, name: "a b" }] }, 400, "tools.1.name"],
    ["two tools of one name", { tools: [TOOL, TOOL] }, 400, "tools"],
    ["a schema that cannot be enforced", { output_config: boundTo({ not: {} }) }, 400, "output_config.format"],
    ["an effort that is none", { output_config: { effort: "a bit" } }, 400, "output_config.effort"],
    ["too many stops", { stop_sequences: Array(17).fill("x") }, 400, "stop_sequences"],
    ["a seed that is no whole number", { seed: 0.5 }, 400, "seed"],
    ["an unknown model", { model: "claude" }, 404, "model"],
    ["a misspelt field", { temprature: 1 }, 400, "temprature"],
  ])("are refused for %s", async (_what, more, status, param) => {
    const answer = await ask([user(ASK)], more);
    expect(answer.status).toBe(status);
    const { error } = answer.json;
    expect(answer.json).toEqual({ type: "error", error, request_id: answer.headers.get("request-id") });
    expect(error.type).toBe(status === 404 ? "not_found_error" : "invalid_request_error");
    if (param === undefined) return;
    expect(error.param).toContain(param);
    expect(error.message.startsWith(error.param)).toBe(true);
  });

  it("have the errors of Anthropic's API, before the engine as well", async () => {
    const shut = await startServer({ fake: {}, maxBodyBytes: 100, server: { apiKeys: ["key"] } });
    const key = { "x-api-key": "key" };
    const refused = async (path: string, body: string, headers: Record<string, string>) => {
      const { status, json, headers: own } = await shut.post(path, body, headers);
      expect(json).toMatchObject({ type: "error", request_id: own.get("request-id") });
      return [status, json.error.type];
    };
    expect(await refused("/v1/messages", "{}", {})).toEqual([401, "authentication_error"]);
    expect(await refused("/v1/messages", " ".repeat(101), key)).toEqual([413, "request_too_large"]);
    expect(await refused("/v1/messages/batches", "{}", key)).toEqual([404, "not_found_error"]);
    await shut.scheduler.drain();
    const body = JSON.stringify({ messages: [user("x")], max_tokens: 1 });
    expect(await refused("/v1/messages", body, key)).toEqual([503, "overloaded_error"]);
    await shut.stop();
  });
});
