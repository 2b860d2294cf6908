/** @file Anthropic's client and LangChain against one server, over a backend whose tokens are a hash. OpenAI's client and the AI SDK have tests beside the routes. */
import Anthropic from "@anthropic-ai/sdk";
import { betaZodTool } from "@anthropic-ai/sdk/helpers/beta/zod";
import { zodOutputFormat } from "@anthropic-ai/sdk/helpers/zod";
import { HumanMessage, ToolMessage } from "@langchain/core/messages";
import { tool } from "@langchain/core/tools";
import { ChatOpenAI, OpenAI, OpenAIEmbeddings } from "@langchain/openai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { z } from "zod";
import { startServer, type TestServer } from "./support/server.ts";

const ASK = "How is the weather in Rome?";
const Weather = z.object({ city: z.enum(["Rome", "Paris"]), days: z.number().int().min(1).max(9) });
const KEY = "secret";

let server: TestServer;
beforeAll(async () => {
  server = await startServer({ fake: {}, server: { apiKeys: [KEY] } });
});
afterAll(() => server.stop());

/** What a chat of OpenAI's API says to it. */
async function chatted(messages: readonly object[], more: object = {}): Promise<string> {
  const body = { messages, temperature: 0, max_tokens: 8, ...more };
  const { json } = await server.post("/v1/chat/completions", body, { authorization: `Bearer ${KEY}` });
  return json.choices[0].message.content;
}

describe("@anthropic-ai/sdk", () => {
  const settings = { model: "fake", temperature: 0, max_tokens: 8 };
  const messages = [{ role: "user" as const, content: ASK }];
  const TOOL: Anthropic.Tool = {
    name: "weather",
    description: "The weather of a city",
    input_schema: z.toJSONSchema(Weather) as Anthropic.Tool.InputSchema,
  };
  const clientOf = (url: string, apiKey = KEY) => new Anthropic({ baseURL: url, apiKey, maxRetries: 0 });
  let client: Anthropic;
  beforeAll(() => {
    client = clientOf(server.url);
  });

  it("answers, whole and streamed, and counts tokens", async () => {
    const system = "Be brief.";
    const request = { ...settings, system, messages };
    const answer = await client.messages.create(request);
    const text = await chatted([{ role: "system", content: system }, ...messages]);
    expect(answer.content).toEqual([{ type: "text", text }]);
    expect(answer._request_id).toMatch(/^\w{24}$/);
    const { input_tokens, cache_read_input_tokens } = answer.usage;
    const count = await client.messages.countTokens({ model: "fake", system, messages });
    expect(count.input_tokens).toBe(input_tokens + cache_read_input_tokens!);
    const stream = client.messages.stream(request);
    let said = "";
    stream.on("text", (delta) => {
      said += delta;
    });
    const { content, stop_reason } = await stream.finalMessage();
    expect({ content, stop_reason, said }).toEqual({
      content: answer.content,
      stop_reason: "max_tokens",
      said: text,
    });
  });

  it("calls tools, whole and streamed, and gives their results back", async () => {
    const tool_choice = { type: "any" as const, disable_parallel_tool_use: true };
    const request = { ...settings, max_tokens: 200, messages, tools: [TOOL], tool_choice };
    const { content, stop_reason } = await client.messages.create(request);
    expect(stop_reason).toBe("tool_use");
    const call = content.find((block) => block.type === "tool_use")!;
    expect(Weather.parse(call.input)).toEqual(call.input);
    const streamed = await client.messages.stream(request).finalMessage();
    expect(streamed.content.map((block) => (block.type === "tool_use" ? block.input : null))).toEqual([call.input]);
    const result = { type: "tool_result" as const, tool_use_id: call.id, content: "Sunny.", is_error: false };
    const after = await client.messages.create({
      ...settings,
      tools: [TOOL],
      messages: [...messages, { role: "assistant", content }, { role: "user", content: [result] }],
    });
    expect(after.content).toHaveLength(1);
  });

  it("runs tools by itself, without the threads that it first asks for", async () => {
    const asked: unknown[] = [];
    const weather = betaZodTool({
      name: "weather",
      description: "The weather of a city",
      inputSchema: Weather,
      run: (input) => {
        asked.push(input);
        return "Sunny.";
      },
    });
    const runner = client.beta.messages.toolRunner({
      ...settings,
      ...{
        max_tokens: 200,
        messages,
        tools: [weather],
        tool_choice: { type: "any", disable_parallel_tool_use: true },
        max_iterations: 2,
      },
    });
    const turns = [];
    for await (const turn of runner) turns.push(turn.stop_reason);
    expect(turns).toEqual(["tool_use", "tool_use"]);
    expect(asked.map((input) => Weather.parse(input))).toEqual(asked);
    expect(asked.length).toBeGreaterThanOrEqual(1);
  });

  it("parses what a schema asks for", async () => {
    // The client leaves limits of numbers out of what it sends.
    const City = Weather.pick({ city: true });
    const { parsed_output } = await client.messages.parse({
      ...settings,
      ...{ max_tokens: 200, messages, output_config: { format: zodOutputFormat(City) } },
    });
    expect(City.parse(parsed_output)).toEqual(parsed_output);
  });

  it("has its own errors", async () => {
    const wrong = client.messages.create({
      ...settings,
      messages: [{ role: "user", content: [{ type: "tool_use" }] as never }],
    });
    const error = await wrong.catch((one: unknown) => one);
    expect(error).toBeInstanceOf(Anthropic.BadRequestError);
    expect(error).toMatchObject({ type: "invalid_request_error", requestID: expect.stringMatching(/^\w{24}$/) });
    await expect(client.messages.create({ ...settings, model: "other", messages })).rejects.toBeInstanceOf(
      Anthropic.NotFoundError,
    );
    const stranger = clientOf(server.url, "wrong").messages.create({ ...settings, messages });
    await expect(stranger).rejects.toBeInstanceOf(Anthropic.AuthenticationError);
  });

  it("lists the model and shows it", async () => {
    const ids = [];
    for await (const { id } of client.models.list()) ids.push(id);
    expect(ids).toEqual(["fake"]);
    expect((await client.models.retrieve("fake")).id).toBe("fake");
  });
});

describe("@langchain/openai", () => {
  const weather = tool(() => "Sunny.", { name: "weather", description: "The weather of a city", schema: Weather });
  const shared = () => ({ apiKey: KEY, maxRetries: 0, configuration: { baseURL: `${server.url}/v1` } });
  const chat = (more: object = {}) => new ChatOpenAI({ ...shared(), model: "fake", temperature: 0, ...more });

  it("answers, whole and streamed", async () => {
    const text = await chatted([{ role: "user", content: ASK }]);
    const model = chat({ maxTokens: 8 });
    const answer = await model.invoke(ASK);
    expect(answer.content).toBe(text);
    expect(answer.usage_metadata).toMatchObject({ output_tokens: 8 });
    let streamed = "";
    for await (const chunk of await model.stream(ASK)) streamed += chunk.content;
    expect(streamed).toBe(text);
    const [first, second] = await model.batch([ASK, "And in Paris?"]);
    expect(first!.content).toBe(text);
    expect(second!.content).not.toBe(text);
  });

  it("bindTools: calls fit their schema, streamed as well, and their results go back", async () => {
    const model = chat().bindTools([weather], { tool_choice: "any", parallel_tool_calls: false });
    const answer = await model.invoke(ASK);
    const [call] = answer.tool_calls!;
    expect(call!.name).toBe("weather");
    expect(Weather.parse(call!.args)).toEqual(call!.args);
    let whole: Awaited<ReturnType<typeof model.invoke>> | undefined;
    for await (const chunk of await model.stream(ASK)) whole = whole ? whole.concat(chunk) : chunk;
    expect(whole!.tool_calls!.map(({ name, args }) => ({ name, args }))).toEqual([
      { name: "weather", args: call!.args },
    ]);
    const result = await weather.invoke(call!);
    expect(result).toBeInstanceOf(ToolMessage);
    const after = await chat({ maxTokens: 8 })
      .bindTools([weather])
      .invoke([new HumanMessage(ASK), answer, result]);
    expect(after.usage_metadata).toMatchObject({ output_tokens: 8 });
  });

  it.each(["jsonSchema", "functionCalling"] as const)("withStructuredOutput by %s", async (method) => {
    const given = await chat().withStructuredOutput(Weather, { name: "weather", method }).invoke(ASK);
    expect(Weather.parse(given)).toEqual(given);
  });

  it("continues texts, and makes vectors of them", async () => {
    const completion = new OpenAI({ ...shared(), model: "fake", temperature: 0, maxTokens: 8 });
    const { json } = await server.post(
      "/v1/completions",
      { prompt: ASK, temperature: 0, max_tokens: 8 },
      { authorization: `Bearer ${KEY}` },
    );
    expect(await completion.invoke(ASK)).toBe(json.choices[0].text);
    const embeddings = new OpenAIEmbeddings({ ...shared(), model: "fake" });
    const [one] = await embeddings.embedDocuments([ASK]);
    expect(await embeddings.embedQuery(ASK)).toEqual(one);
    expect(one!.length).toBe(server.llm.config.hiddenSize);
  });

  it("calls a tool by the Responses API", async () => {
    // The client sends no choice there but that of a tool by its name.
    const model = chat({ useResponsesApi: true }).bindTools([weather], {
      tool_choice: "weather",
      parallel_tool_calls: false,
    });
    const { tool_calls } = await model.invoke(ASK);
    expect(Weather.parse(tool_calls![0]!.args)).toEqual(tool_calls![0]!.args);
  });
});
