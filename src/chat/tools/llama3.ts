/** @file Calls as Llama 3 writes them: the whole answer is JSON objects with `parameters`, apart by semicolons. */
import { callSchema, larkJson, toolRules } from "./call-schema.ts";
import { ObjectAnswer } from "./object-answer.ts";
import type { ToolFormat } from "./tool-format.ts";

const MARK = "<|python_tag|>";

export const llama3: ToolFormat = {
  name: "llama3",
  matches: (template) => template.includes(MARK) || template.includes('"parameters": dictionary'),
  marks: [MARK],
  createParser: (tools) =>
    new ObjectAnswer({ names: new Set(tools.map(({ name }) => name)), prefixes: [MARK], separators: /^[;,\s]*/ }),
  grammar({ tools, isParallel }) {
    const { names, rules } = toolRules(tools, (tool) => larkJson(callSchema(tool, "parameters")));
    return [`start: call${isParallel ? ' ("; " call)*' : ""}`, `call: ${names}`, rules].join("\n");
  },
};
