/** @file Conversations that chat templates are compared on. */
import type { ChatMessage } from "../../src/tokenizer/index.ts";

export interface Conversation {
  readonly name: string;
  readonly messages: readonly ChatMessage[];
  readonly tools?: readonly object[];
  readonly variables?: Readonly<Record<string, unknown>>;
}

const system: ChatMessage = { role: "system", content: "You answer in one sentence.\n" };
const ask: ChatMessage = { role: "user", content: "Where is Bern?" };
const reply: ChatMessage = { role: "assistant", content: "In Switzerland." };
const code = "\n\n    def f(x):\n        return x  # <b>&'\"</b>\n\n";

const weather = {
  type: "function",
  function: {
    name: "get_weather",
    description: 'The weather of a place, "now" or later.',
    parameters: {
      type: "object",
      properties: {
        town: { type: "string", description: "Name – with accents: Zürich" },
        days: { type: "integer", default: 1, enum: [1, 2, 3] },
        unit: { anyOf: [{ type: "string" }, { type: "null" }] },
        places: { type: "array", items: { type: "object", properties: { lat: { type: "number" } } } },
      },
      required: ["town"],
    },
    return: { type: "string" },
  },
};
const clock = {
  type: "function",
  function: { name: "now", description: "", parameters: { type: "object", properties: {} } },
};

const call = (name: string, args: Readonly<Record<string, unknown>>, id = "call00001"): ChatMessage => ({
  role: "assistant",
  content: "",
  tool_calls: [{ id, type: "function", function: { name, arguments: args } }],
});
const result = (content: string, name = "get_weather", id = "call00001"): ChatMessage => ({
  role: "tool",
  name,
  tool_call_id: id,
  content,
});

export const CONVERSATIONS: readonly Conversation[] = [
  { name: "one question", messages: [ask] },
  { name: "system", messages: [system, ask] },
  { name: "several turns", messages: [system, ask, reply, { role: "user", content: "And Köln? 🙂" }] },
  { name: "ends with an answer", messages: [ask, reply] },
  { name: "indented code", messages: [ask, { role: "assistant", content: code }, { role: "user", content: code }] },
  {
    name: "empty contents",
    messages: [
      { role: "system", content: "" },
      { role: "user", content: "" },
    ],
  },
  {
    name: "parts",
    messages: [
      {
        role: "user",
        content: [
          { type: "text", text: "Look: " },
          { type: "text", text: "two parts" },
        ],
      },
      reply,
      ask,
    ],
  },
  {
    name: "thoughts in the text",
    messages: [ask, { role: "assistant", content: "<think>\nHm,\n    well\n</think>\n\nIn Switzerland." }, ask],
  },
  {
    name: "thoughts apart",
    messages: [ask, { role: "assistant", content: "In Switzerland.", reasoning_content: "\nHm\n" }, ask],
  },
  { name: "thinking off", messages: [ask, reply, ask], variables: { enable_thinking: false } },
  { name: "thinking on", messages: [system, ask], variables: { enable_thinking: true, reasoning_effort: "high" } },
  { name: "tools, unused", messages: [ask], tools: [weather, clock] },
  { name: "tools and system", messages: [system, ask, reply, ask], tools: [weather] },
  {
    name: "a call and its result",
    messages: [
      ask,
      call("get_weather", { town: "Zürich", days: 2, exact: 1.5, deep: { a: [1, null, true] } }),
      result('{"sky": "blue"}'),
    ],
    tools: [weather],
  },
  {
    name: "calls, results and an answer",
    messages: [
      system,
      ask,
      call("get_weather", { town: "Bern" }),
      result("sun\n"),
      { role: "assistant", content: "Sun." },
      { role: "user", content: "And the time?" },
      call("now", {}, "call00002"),
      result("12:00", "now", "call00002"),
    ],
    tools: [weather, clock],
  },
  {
    name: "two calls at once",
    messages: [
      ask,
      {
        role: "assistant",
        content: "I look.",
        tool_calls: [
          { id: "call00001", type: "function", function: { name: "get_weather", arguments: { town: "A" } } },
          { id: "call00002", type: "function", function: { name: "now", arguments: {} } },
        ],
      },
      result("rain"),
      result("noon", "now", "call00002"),
    ],
    tools: [weather, clock],
  },
  {
    name: "a call without content",
    messages: [ask, { ...call("now", {}), content: null }, result("noon", "now")],
    tools: [clock],
  },
  { name: "a history of calls without tools", messages: [ask, call("now", {}), result("noon", "now"), reply, ask] },
  {
    name: "documents",
    messages: [ask],
    variables: { documents: [{ title: "T", text: "Bern is a town.", content: "Bern" }] },
  },
  { name: "two questions in a row", messages: [ask, ask] },
  { name: "begins with an answer", messages: [reply, ask] },
  { name: "system in the middle", messages: [ask, reply, system, ask] },
  { name: "developer", messages: [{ role: "developer", content: "Be brief." }, ask] },
  { name: "an unknown role", messages: [ask, { role: "critic", content: "Hm." }, ask] },
];
