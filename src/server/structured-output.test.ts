/** @file Schemas, tools and thoughts by the clients that ask for them: OpenAI's and the AI SDK, over a backend whose tokens are a hash. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateObject, generateText, streamObject, tool } from "ai";
import type OpenAI from "openai";
import { zodResponseFormat } from "openai/helpers/zod";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { ADD, WEATHER } from "../../test/support/asked-schemas.ts";
import { writeFakeCheckpoint } from "../../test/support/fake-checkpoint.ts";
import { startServer, type TestServer } from "../../test/support/server.ts";

const CHAT = "/v1/chat/completions";
const ASK = [{ role: "user" as const, content: "Who is it?" }];
const Person = z.object({ name: z.string().max(8), age: z.number().int().min(0).max(150) });
const SCHEMA = {
  type: "object",
  properties: { name: { type: "string", maxLength: 8 }, age: { type: "integer", minimum: 0, maximum: 150 } },
  required: ["name", "age"],
  additionalProperties: false,
};

let folder: string;
let server: TestServer;
let client: OpenAI;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "structured-"));
  server = await startServer({ fake: {} });
  client = server.client;
});
afterAll(async () => {
  await server.stop();
  rmSync(folder, { recursive: true });
});

/** A server whose chat template is another one. */
async function withTemplate(template: string, use: (own: TestServer) => Promise<void>): Promise<void> {
  const model = mkdtempSync(join(folder, "model-"));
  writeFakeCheckpoint(model, { "chat_template.jinja": template });
  const own = await startServer({ model, fake: {} });
  try {
    await use(own);
  } finally {
    await own.stop();
  }
}

describe("response_format", () => {
  it("the official client parses what a zod schema asks for", async () => {
    const completion = await client.chat.completions.parse({
      model: "fake",
      messages: ASK,
      seed: 1,
      response_format: zodResponseFormat(Person, "person"),
    });
    const person = completion.choices[0]!.message.parsed!;
    expect(Person.parse(person)).toEqual(person);
    expect(completion.choices[0]!.finish_reason).toBe("stop");
  });

  it("streamed, n at once, with log-probabilities: the same answers", async () => {
    const request = {
      model: "fake",
      messages: ASK,
      seed: 5,
      n: 3,
      logprobs: true,
      top_logprobs: 2,
      response_format: { type: "json_schema" as const, json_schema: { name: "person", schema: SCHEMA, strict: true } },
    };
    const whole = await client.chat.completions.create(request);
    const texts = ["", "", ""];
    for await (const { choices } of await client.chat.completions.create({ ...request, stream: true })) {
      for (const { index, delta } of choices) texts[index] += delta.content ?? "";
    }
    expect(texts).toEqual(whole.choices.map(({ message }) => message.content));
    for (const { message, logprobs } of whole.choices) {
      Person.parse(JSON.parse(message.content!));
      expect(logprobs!.content!.map(({ token }) => token).join("")).toContain('"age"');
    }
  });

  it.each<[string, object, RegExp]>([
    ["json_object", { response_format: { type: "json_object" } }, /^\{/],
    ["guided_json", { guided_json: SCHEMA }, /"age"/],
    ["guided_json as text", { guided_json: JSON.stringify(SCHEMA) }, /"age"/],
    ["guided_regex", { guided_regex: "[ab]{4}" }, /^[ab]{4}$/],
    ["guided_choice", { guided_choice: ["yes", "no"] }, /^(yes|no)$/],
    ["guided_grammar", { guided_grammar: 'start: "x" "y"' }, /^xy$/],
    ["structured_outputs", { structured_outputs: { choice: ["yes", "no"] } }, /^(yes|no)$/],
    ["llama.cpp's grammar", { grammar: 'root ::= "x"{3}' }, /^xxx$/],
    ["llama.cpp's json_schema", { json_schema: { const: 7 } }, /^7$/],
    ["SGLang's regex", { regex: "[0-9]" }, /^\d$/],
  ])("%s, on both routes", async (_name, fields, expected) => {
    const chat = await server.post(CHAT, { messages: ASK, max_tokens: 200, seed: 1, ...fields });
    expect(chat.json.choices[0].message.content).toMatch(expected);
    const completion = await server.post("/v1/completions", { prompt: "Once", max_tokens: 200, seed: 1, ...fields });
    expect(completion.json.choices[0].text).toMatch(expected);
  });

  it.each<[string, object, string, string]>([
    ["an unknown kind", { response_format: { type: "xml" } }, "invalid_value", "response_format.type"],
    [
      "no schema but a text",
      { response_format: { type: "json_schema", json_schema: { schema: "x" } } },
      "invalid_value",
      "response_format.json_schema.schema",
    ],
    [
      "what cannot be enforced",
      { response_format: { type: "json_schema", json_schema: { schema: { not: {} } } } },
      "unsupported",
      "response_format",
    ],
    ["what nothing fits", { guided_json: { enum: [] } }, "invalid_argument", "guided_json"],
    ["two at once", { guided_regex: "a", grammar: "start: 'a'" }, "invalid_value", "grammar"],
    ["tools of one name", { tools: [ADD, ADD] }, "invalid_value", "tools"],
    [
      "a tool with an odd name",
      { tools: [{ type: "function", function: { name: "a b<|>" } }] },
      "invalid_value",
      "tools.0.function.name",
    ],
    [
      "a choice of no tool",
      { tools: [ADD], tool_choice: { type: "function", function: { name: "sub" } } },
      "invalid_value",
      "tool_choice",
    ],
    ["a choice without tools", { tool_choice: "required" }, "invalid_value", "tool_choice"],
    ["functions", { functions: [{ name: "f" }] }, "invalid_value", "functions"],
    ["an answer without tokens", { n_predict: 0 }, "invalid_value", "n_predict"],
    ["to go on with the user's message", { continue_final_message: true }, "invalid_value", "continue_final_message"],
  ])("refused: %s", async (_name, fields, code, param) => {
    const { status, json } = await server.post(CHAT, { messages: ASK, ...fields });
    expect({ status, code: json.error.code, param: json.error.param }).toEqual({ status: 400, code, param });
  });

  it("the AI SDK makes objects, whole and streamed", async () => {
    const provider = createOpenAICompatible({
      name: "own",
      baseURL: `${server.url}/v1`,
      supportsStructuredOutputs: true,
    });
    const request = { model: provider("fake"), schema: Person, prompt: "Who is it?", seed: 3 };
    const { object } = await generateObject(request);
    expect(Person.parse(object)).toEqual(object);
    const stream = streamObject(request);
    let last: unknown;
    for await (const partial of stream.partialObjectStream) last = partial;
    expect(last).toEqual(await stream.object);
  });
});

describe("tools", () => {
  const REQUEST = { model: "fake", messages: ASK, seed: 2, tools: [WEATHER, ADD] };

  it("a call that is required fits its schema, streamed as well", async () => {
    const answer = await client.chat.completions.create({
      ...REQUEST,
      tool_choice: "required",
      parallel_tool_calls: false,
    });
    const [choice] = answer.choices;
    expect(choice).toMatchObject({ finish_reason: "tool_calls", message: { content: null } });
    const [call] = choice!.message.tool_calls!;
    expect(call!.id).toMatch(/^call_\w{24}$/);
    if (call!.type !== "function") throw new Error("a function is called");
    const given = JSON.parse(call!.function.arguments);
    expect(call!.function.name === "add" ? [1, 2].includes(given.a) : ["Paris", "Rome"].includes(given.city)).toBe(
      true,
    );
    const stream = client.chat.completions.stream({ ...REQUEST, tool_choice: "required", parallel_tool_calls: false });
    const streamed = (await stream.finalChatCompletion()).choices[0]!.message.tool_calls![0]!;
    if (streamed.type !== "function") throw new Error("a function is called");
    expect(streamed.function).toMatchObject(call!.function);
  });

  it("a tool that is named is called", async () => {
    for (const name of ["add", "get_weather"]) {
      const answer = await client.chat.completions.create({
        ...REQUEST,
        tool_choice: { type: "function", function: { name } },
      });
      expect(answer.choices[0]!.message.tool_calls![0]).toMatchObject({ function: { name } });
    }
  });

  it("none: text alone", async () => {
    const answer = await client.chat.completions.create({ ...REQUEST, tool_choice: "none", max_tokens: 4 });
    expect(answer.choices[0]!.message.tool_calls).toBeUndefined();
    expect(answer.choices[0]!.message.content).not.toBe("");
  });

  it("the AI SDK runs a tool and gives its result back", async () => {
    const provider = createOpenAICompatible({ name: "own", baseURL: `${server.url}/v1` });
    const asked: unknown[] = [];
    const { toolCalls, toolResults } = await generateText({
      model: provider("fake"),
      prompt: "Add one.",
      toolChoice: "required",
      tools: {
        add: tool({
          inputSchema: z.object({ a: z.union([z.literal(1), z.literal(2)]) }),
          execute: async (input) => {
            asked.push(input);
            return input.a + 1;
          },
        }),
      },
    });
    expect(toolCalls.length).toBeGreaterThan(0);
    expect(asked[0]).toEqual(toolCalls[0]!.input);
    expect(toolResults[0]!.output).toBe((asked[0] as { a: number }).a + 1);
  });

  it("calls are written as each family writes them", async () => {
    for (const mark of [
      "<tool_call></tool_call>",
      "<tool_call><function=x>",
      "[TOOL_CALLS]",
      "<|python_tag|>",
      "<|channel|><|message|>",
    ]) {
      const template = `{# ${mark} #}{{ tools | tojson if tools }}{% for m in messages %}{{ m.content }}{% endfor %}`;
      await withTemplate(template, async (own) => {
        const { json } = await own.post(CHAT, {
          ...REQUEST,
          model: undefined,
          tool_choice: "required",
          parallel_tool_calls: false,
        });
        expect(json.choices[0], mark).toMatchObject({
          finish_reason: "tool_calls",
          message: {
            tool_calls: [{ type: "function", function: { name: expect.stringMatching(/^(add|get_weather)$/) } }],
          },
        });
        JSON.parse(json.choices[0].message.tool_calls[0].function.arguments);
      });
    }
  });

  it("turns of tools reach templates that know them and those that do not", async () => {
    const messages = [
      { role: "user", content: "Add." },
      {
        role: "assistant",
        content: null,
        tool_calls: [{ id: "x", type: "function", function: { name: "add", arguments: '{"a":1}' } }],
      },
      { role: "tool", tool_call_id: "x", content: "2" },
    ];
    const text = async (own: TestServer): Promise<string> => {
      const { json } = await own.post("/tokenize", { messages, with_pieces: true });
      return json.tokens.map(({ piece }: { piece: string }) => piece).join("");
    };
    expect(await text(server)).toContain(
      '{"name": "add", "arguments": {"a":1}}<|im_end|>\n<|im_start|>user\nResult of the call: 2',
    );
    await withTemplate(
      "{% for m in messages %}{{ m.role }}{% for c in m.tool_calls %}{{ c.function.arguments.a + 1 }}{% endfor %}{{ m.tool_call_id }}{% endfor %}",
      async (own) => expect(await text(own)).toBe("userassistant2toolx"),
    );
  });
});

describe("thoughts", () => {
  // The prompt begins a thought, and the model does nothing but think.
  const THINKS =
    "{# </think> #}{% for m in messages %}{{ m.content }}{% endfor %}{% if enable_thinking is not defined or enable_thinking %}<think>\n{% endif %}";

  it("are told apart from the answer, or not, or not at all", () =>
    withTemplate(THINKS, async (own) => {
      const ask = async (fields: object) =>
        (await own.post(CHAT, { messages: ASK, seed: 1, max_tokens: 8, ...fields })).json.choices[0].message;
      const plain = await ask({ reasoning_format: "none" });
      expect(await ask({})).toMatchObject({ content: "", reasoning_content: plain.content.trim() });
      expect(await ask({ include_reasoning: false })).toEqual({ role: "assistant", content: "", refusal: null });
      const said = await ask({ reasoning_effort: "none" });
      expect(said.reasoning_content).toBeUndefined();
      expect(said.content).not.toBe("");
      const stream = await own.client.chat.completions.create({
        model: "",
        messages: ASK,
        seed: 1,
        max_tokens: 8,
        stream: true,
      });
      let streamed = "";
      for await (const { choices } of stream) {
        streamed += (choices[0]!.delta as { reasoning_content?: string }).reasoning_content ?? "";
      }
      expect(streamed).toBe(plain.content.trim());
    }));
});

describe("how an answer ends", () => {
  const ask = async (fields: object) =>
    (await server.post("/v1/completions", { prompt: "Once", seed: 1, max_tokens: 12, ...fields })).json;

  it("stop_token_ids, min_tokens, n_predict", async () => {
    const free = await ask({ temperature: 0, logprobs: 0 });
    const [third] = server.llm.tokenizer.encode(free.choices[0].logprobs.tokens[2], { addSpecialTokens: false });
    expect(third).toBeGreaterThanOrEqual(0);
    const id = server.llm.tokenizer.tokenId(free.choices[0].logprobs.tokens[2].replace(" ", "Ġ"))!;
    const stopped = await ask({ temperature: 0, stop_token_ids: [id] });
    expect(stopped.choices[0].finish_reason).toBe("stop");
    expect(stopped.usage.completion_tokens).toBe(3);
    const least = await ask({ temperature: 0, stop_token_ids: [id], min_tokens: 5 });
    expect(least.usage.completion_tokens).toBeGreaterThanOrEqual(5);
    const bound = await ask({ guided_choice: ["x"], min_tokens: 5 });
    expect(bound.choices[0].text).toBe("x");
    expect((await ask({ max_tokens: undefined, n_predict: -1, guided_choice: ["xyz"] })).choices[0].text).toBe("xyz");
  });

  it("the last message goes on", async () => {
    const messages = [...ASK, { role: "assistant", content: "It is the " }];
    const { json } = await server.post(CHAT, { messages, continue_final_message: true, temperature: 0, max_tokens: 3 });
    const prompt = "<|im_start|>user\nWho is it?<|im_end|>\n<|im_start|>assistant\nIt is the ";
    const expected = await server.post("/v1/completions", { prompt, temperature: 0, max_tokens: 3 });
    expect(json.choices[0].message.content).toBe(expected.json.choices[0].text);
  });

  it.each([
    ["as it is, though the template writes it behind as well", "<", "", "<"],
    ["trimmed where the template trims", " It is ", " | trim", "It is"],
  ])("the last message goes on %s", (_what, content, filter, shown) =>
    withTemplate(`{% for m in messages %}<{{ m.role }}>{{ m.content${filter} }}<end>{% endfor %}`, async (own) => {
      const messages = [...ASK, { role: "assistant", content }];
      const fields = { temperature: 0, max_tokens: 3 };
      const { json } = await own.post(CHAT, { messages, continue_final_message: true, ...fields });
      const prompt = `<user>Who is it?<end><assistant>${shown}`;
      const expected = await own.post("/v1/completions", { prompt, ...fields });
      expect(json.choices[0].message.content).toBe(expected.json.choices[0].text);
    }),
  );
});

it("a message that goes on within its thought goes on thinking", () =>
  withTemplate("{% for m in messages %}<{{ m.role }}>{{ m.content }}<end>{% endfor %}{# </think> #}", async (own) => {
    const ask = async (content: string) => {
      const messages = [...ASK, { role: "assistant", content }];
      const fields = { continue_final_message: true, temperature: 0, max_tokens: 3 };
      return (await own.post(CHAT, { messages, ...fields })).json.choices[0].message;
    };
    const thinking = await ask("<think>I wonder");
    expect(thinking.reasoning_content).toEqual(expect.any(String));
    expect(thinking.content).toBe("");
    const said = await ask("<think>I wonder</think>It is");
    expect(said.reasoning_content).toBeUndefined();
    expect(said.content).not.toBe("");
  }));

describe("what other providers write", () => {
  it("histories are accepted", async () => {
    const messages = [
      { role: "system", content: [{ type: "text", text: "Be brief.", cache_control: { type: "ephemeral" } }] },
      { role: "user", content: "Hello", name: null },
      {
        role: "assistant",
        content: [
          { type: "thinking", thinking: "Hm.", signature: "x" },
          { type: "text", text: "Hi." },
        ],
        annotations: [],
        audio: null,
        function_call: null,
        refusal: null,
        reasoning: null,
        reasoning_details: [{}],
        tool_calls: [],
      },
      { role: "assistant", content: null, function_call: { name: "f", arguments: "{}" } },
      { role: "assistant", content: null, function_call: { name: "f", arguments: null } },
      {
        role: "assistant",
        tool_calls: [{ id: "a", function: { name: "f", arguments: null } }, { function: { name: "f" } }],
      },
      { role: "user", content: "And?" },
    ];
    expect((await server.post(CHAT, { messages, max_tokens: 1 })).status).toBe(200);
  });

  it("unknown fields are refused by name, or ignored and named", async () => {
    const body = {
      messages: [{ role: "user", content: "x", mood: "glad" }],
      max_tokens: 1,
      temprature: 1,
      [`a${"b".repeat(500_000)}`]: 1,
    };
    const refused = await server.post(CHAT, body);
    expect(refused).toMatchObject({ status: 400, json: { error: { code: "unknown_field" } } });
    expect(refused.json.error.message.length).toBeLessThan(300);
    expect((await server.post(CHAT, { messages: body.messages })).json.error.param).toBe("messages.0.mood");
    const own = await startServer({ fake: {}, server: { unknownFields: "ignore" } });
    const answer = await own.post(CHAT, body);
    expect(answer.status).toBe(200);
    expect(answer.headers.get("x-ignored-fields")).toMatch(/messages\.0\.mood/);
    expect(answer.headers.get("x-ignored-fields")).toMatch(/temprature/);
    await own.stop();
  });
});
