/** @file Calls of models with no way of their own: JSON as the instructions of tool-prompt.ts ask for it. */
import { callSchema, larkJson, toolRules } from "./call-schema.ts";
import { ObjectAnswer } from "./object-answer.ts";
import type { ToolFormat } from "./tool-format.ts";

export const genericJson: ToolFormat = {
  name: "json",
  matches: () => true,
  marks: [],
  createParser: (tools) =>
    new ObjectAnswer({
      names: new Set(tools.map(({ name }) => name)),
      prefixes: ["```json", "```", "[", "```json\n["],
      separators: /^[;,\s\]`]*/,
    }),
  grammar({ tools, isParallel }) {
    const { names, rules } = toolRules(tools, (tool) => larkJson(callSchema(tool)));
    return [`start: call${isParallel ? ' ("\\n" call)*' : ""}`, `call: ${names}`, rules].join("\n");
  },
};
