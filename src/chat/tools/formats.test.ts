/** @file Calls in the ways of all families, in pieces of every size; what is no call is said as it stands. */
import { expect, it } from "vitest";
import type { AnswerPart } from "../answer-parser.ts";
import { TOOL_FORMATS, toolFormatOf } from "./formats.ts";

const TOOLS = [
  {
    name: "add",
    parameters: {
      properties: {
        a: { type: "integer" },
        s: { type: "string" },
        list: {},
        zip: { anyOf: [{ type: "string" }, { type: "null" }] },
        key: { type: ["string", "integer"] },
      },
    },
  },
  { name: "get_weather" },
];

/** What a client gets: text, thought, and calls with all of their arguments. */
function summary(parts: readonly AnswerPart[]) {
  let [content, reasoning] = ["", ""];
  const calls: [string, string][] = [];
  for (const part of parts) {
    if (part.kind === "content") content += part.text;
    else if (part.kind === "reasoning") reasoning += part.text;
    else if (part.kind === "call") calls.push([part.name, ""]);
    else calls.at(-1)![1] += part.text;
  }
  return { content, ...(reasoning && { reasoning }), ...(calls.length > 0 && { calls }) };
}

function parsed(format: string, text: string, size: number) {
  const parser = TOOL_FORMATS.find(({ name }) => name === format)!.createParser(TOOLS);
  const parts: AnswerPart[] = [];
  for (let at = 0; at < text.length; at += size) parts.push(...parser.push(text.slice(at, at + size)));
  return summary([...parts, ...parser.end()]);
}

const ADD = '{"name": "add", "arguments": {"a": 1, "b": "x}\\"{"}}';
const ADD_CALL: [string, string] = ["add", '{"a": 1, "b": "x}\\"{"}'];

it.each<[format: string, what: string, text: string, expected: object]>([
  ["hermes", "a call", `<tool_call>\n${ADD}\n</tool_call>`, { content: "", calls: [ADD_CALL] }],
  [
    "hermes",
    "text and two calls",
    `Let me see.\n<tool_call>${ADD}</tool_call>\n<tool_call>\n{"arguments": {"c": [1, {}]}, "name": "get_weather"}\n</tool_call>\n`,
    { content: "Let me see.", calls: [ADD_CALL, ["get_weather", '{"c": [1, {}]}']] },
  ],
  ["hermes", "text alone", "a < b and <tool is nothing \n", { content: "a < b and <tool is nothing \n" }],
  ["hermes", "no object", "<tool_call>hello</tool_call>", { content: "<tool_call>hello</tool_call>" }],
  ["hermes", "no name", '<tool_call>{"a": 1}</tool_call>', { content: '<tool_call>{"a": 1}</tool_call>' }],
  ["hermes", "no arguments", '<tool_call>{"name": "add"}</tool_call>', { content: "", calls: [["add", "{}"]] }],
  ["hermes", "cut off", '<tool_call>{"name": "add", "arguments": {"a": ', { content: "", calls: [["add", '{"a": ']] }],
  [
    "hermes",
    "arguments as text",
    '<tool_call>{"name": "add", "arguments": "{\\"a\\": 1}"}</tool_call>',
    { content: "", calls: [["add", '{"a": 1}']] },
  ],
  [
    "qwen3_coder",
    "calls",
    "I add.\n<tool_call>\n<function=add>\n<parameter=a>\n12\n</parameter>\n<parameter=s>\n1 <b>\n\n</parameter>\n<parameter=list>\n[1, {}]\n</parameter>\n</function>\n</tool_call>\n<tool_call>\n<function=get_weather>\n</function>\n</tool_call>",
    {
      content: "I add.",
      calls: [
        ["add", '{"a": 12, "s": "1 <b>\\n", "list": [1, {}]}'],
        ["get_weather", "{}"],
      ],
    },
  ],
  [
    "qwen3_coder",
    "cut off",
    "<tool_call>\n<function=add>\n<parameter=a>\n12\n</parameter>\n<parameter=s>\nhal",
    { content: "", calls: [["add", '{"a": 12']] },
  ],
  [
    "qwen3_coder",
    "texts that look like numbers where a text may be missing",
    "<tool_call>\n<function=add>\n<parameter=zip>\n12345\n</parameter>\n<parameter=key>\n7\n</parameter>\n<parameter=list>\n8\n</parameter>\n</function>\n</tool_call>",
    { content: "", calls: [["add", '{"zip": "12345", "key": 7, "list": 8}']] },
  ],
  [
    "qwen3_coder",
    "a value without its end",
    "<tool_call>\n<function=add>\n<parameter=s>\nhalf\n</function>\n</tool_call>",
    { content: "", calls: [["add", '{"s": "half"}']] },
  ],
  [
    "qwen3_coder",
    "no end of a name",
    `<tool_call><function=add><parameter=${"s".repeat(1100)}`,
    { content: `<parameter=${"s".repeat(1100)}`, calls: [["add", "{}"]] },
  ],
  ["qwen3_coder", "no function", "<tool_call>hello", { content: "<tool_call>hello" }],
  ["llama3", "a call", '{"name": "add", "parameters": {"a": 1}}', { content: "", calls: [["add", '{"a": 1}']] }],
  [
    "llama3",
    "two calls behind its mark",
    '<|python_tag|>{"name": "add", "parameters": {"a": 1}}; {"name": "get_weather", "parameters": {}}',
    {
      content: "",
      calls: [
        ["add", '{"a": 1}'],
        ["get_weather", "{}"],
      ],
    },
  ],
  ["llama3", "text", "The sum is {3}.", { content: "The sum is {3}." }],
  ["llama3", "JSON that is no call", ' {"name": "Bob", "age": 3}', { content: ' {"name": "Bob", "age": 3}' }],
  ["llama3", "JSON without a name", '{"a": 1}', { content: '{"a": 1}' }],
  [
    "mistral",
    "a list",
    `[TOOL_CALLS][${ADD}, {"name": "get_weather", "arguments": {}}]`,
    { content: "", calls: [ADD_CALL, ["get_weather", "{}"]] },
  ],
  [
    "mistral",
    "names",
    'Well. [TOOL_CALLS]add[ARGS]{"a": {"b": 1}}[TOOL_CALLS]get_weather[CALL_ID]123456789[ARGS]{}',
    {
      content: "Well.",
      calls: [
        ["add", '{"a": {"b": 1}}'],
        ["get_weather", "{}"],
      ],
    },
  ],
  [
    "harmony",
    "thought, words and a call",
    '<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>commentary<|message|>I look.<|end|><|start|>assistant<|channel|>commentary to=functions.add <|constrain|>json<|message|>{"a": 1}<|call|>',
    { content: "I look.", reasoning: "Hm.", calls: [["add", '{"a": 1}']] },
  ],
  [
    "harmony",
    "an answer",
    "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant<|channel|>final<|message|>Three.<|return|>",
    { content: "Three.", reasoning: "Hm." },
  ],
  ["harmony", "no channels", "Three.", { content: "Three." }],
  ["json", "a call", ADD, { content: "", calls: [ADD_CALL] }],
  ["json", "fenced", `\`\`\`json\n${ADD}\n\`\`\``, { content: "", calls: [ADD_CALL] }],
  ["json", "a list", `[${ADD}, ${ADD}]`, { content: "", calls: [ADD_CALL, ADD_CALL] }],
  ["json", "a fenced list", `\`\`\`json\n[${ADD}]\n\`\`\``, { content: "", calls: [ADD_CALL] }],
  ["json", "another list", "[1, 2]", { content: "[1, 2]" }],
  ["json", "code", "```python\nprint(1)\n```", { content: "```python\nprint(1)\n```" }],
])("%s: %s", (format, _what, text, expected) => {
  for (const size of [1, 2, 3, 7, text.length])
    expect(parsed(format, text, size), `pieces of ${size}`).toEqual(expected);
});

it("takes each character of a long run of blanks once, wherever it stands", () => {
  const blanks = " ".repeat(100_000);
  const call = '{"name": "add", "arguments": {}}';
  const calls: [string, string][] = [["add", "{}"]];
  const started = performance.now();
  for (const [format, text, expected] of [
    ["hermes", `I add.${blanks}<tool_call>${call}</tool_call>${blanks}`, { content: "I add.", calls }],
    ["hermes", `a${blanks}b`, { content: `a${blanks}b` }],
    ["mistral", `[TOOL_CALLS]${blanks}[${call}]`, { content: "", calls }],
    ["mistral", `[TOOL_CALLS]add[ARGS]${blanks}{}`, { content: "", calls }],
    ["harmony", `<|channel|>final${blanks}<|message|>a${blanks}`, { content: `a${blanks}` }],
    ["json", `${blanks}${call}${blanks}`, { content: "", calls }],
  ] as const) {
    expect(parsed(format, text, 1)).toEqual(expected);
  }
  // It takes some tenths of a second; where a run is looked at anew with each of its characters, minutes.
  expect(performance.now() - started).toBeLessThan(10_000);
});

it("chat templates say whose way they want", () => {
  const names = [
    "<|channel|> <|message|>",
    "<tool_call><function=x>",
    "<tool_call>",
    "[TOOL_CALLS]",
    "<|python_tag|>",
    "{{ messages }}",
  ].map((template) => toolFormatOf(template).name);
  expect(names).toEqual(["harmony", "qwen3_coder", "hermes", "mistral", "llama3", "json"]);
});
