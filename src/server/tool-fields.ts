/** @file The fields about tools: which there are, and which the model may or must call. */
import { z } from "zod";
import type { ToolFunction } from "../chat/tools/tool-format.ts";
import { ApiError } from "./api-error.ts";
import { acceptOnly, flag, text } from "./request-fields.ts";

/** Names go into prompts, grammars and the headers of messages. */
const NAME = /^[\p{L}\p{N}_.:/-]{1,128}$/u;
const NAME_ERROR = "expected a name of up to 128 letters, digits and _ - . : /";
const functionName = text.regex(NAME, NAME_ERROR);
const MAX_TOOLS = 512;

const tool = z.looseObject(
  {
    type: z.literal("function", { error: 'expected "function", the only kind there is' }).nullish(),
    function: z.looseObject({
      name: functionName,
      description: text.nullish(),
      parameters: z.record(z.string(), z.unknown(), { error: "expected a JSON Schema of an object" }).nullish(),
      // Calls that have to be made fit their schema with it or without; others are not bound (docs/server.md).
      strict: flag,
    }),
  },
  { error: 'expected {type: "function", function: {name, parameters}}' },
);

const named = z.looseObject({ type: z.literal("function"), function: z.looseObject({ name: text }) });
const allowed = z.looseObject({
  type: z.literal("allowed_tools"),
  allowed_tools: z.looseObject({ mode: z.enum(["auto", "required"]), tools: z.array(named) }),
});

export const toolFields = {
  tools: z
    .array(tool, { error: "expected a list of tools" })
    .max(MAX_TOOLS, `expected at most ${MAX_TOOLS} tools`)
    .nullish(),
  tool_choice: z
    .union([z.enum(["none", "auto", "required"]), named, allowed], {
      error: 'expected none, auto, required, or {type: "function", function: {name}}',
    })
    .nullish(),
  parallel_tool_calls: flag,
  functions: acceptOnly(
    (value) => Array.isArray(value) && value.length === 0,
    "expected none: describe functions in tools, which took their place",
  ),
  function_call: acceptOnly(
    (value) => value === "none" || value === "auto",
    "expected none: use tool_choice, which took its place",
  ),
};

type ToolRequest = { readonly [K in keyof typeof toolFields]?: z.infer<(typeof toolFields)[K]> };

export interface ToolWish {
  /** All tools, as the template shows them to the model. */
  readonly shown: readonly object[];
  /** Those that may be called. */
  readonly callable: readonly ToolFunction[];
  /** Whether one has to be. */
  readonly isRequired: boolean;
  readonly isParallel: boolean;
}

/**
 * The tools of a request; null where none may be called.
 * @throws ApiError 400 — two tools of one name, a choice of a tool that there is not
 */
export function requestedTools(request: ToolRequest): ToolWish | null {
  const tools = request.tools ?? [];
  const choice = request.tool_choice ?? "auto";
  const functions = tools.map((one): ToolFunction => {
    const { name, description, parameters } = one.function;
    return {
      name,
      ...(typeof description === "string" && { description }),
      ...(parameters && { parameters }),
    };
  });
  const names = functions.map(({ name }) => name);
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) throw wrong("tools", `expected different names, got ${twice} twice`);
  const wanted = choiceOf(choice);
  if (wanted === "none" || (tools.length === 0 && wanted === "auto")) return null;
  if (tools.length === 0) throw wrong("tool_choice", "there are no tools to call; describe them in tools");
  const only = typeof wanted === "object" ? wanted.names : null;
  const unknown = only?.find((name) => !names.includes(name));
  if (unknown !== undefined)
    throw wrong("tool_choice", `expected one of ${names.join(", ")}, got ${unknown.slice(0, 80)}`);
  return {
    shown: tools,
    callable: only ? functions.filter(({ name }) => only.includes(name)) : functions,
    isRequired: typeof wanted === "object" ? wanted.isRequired : wanted === "required",
    isParallel: request.parallel_tool_calls ?? true,
  };
}

function choiceOf(choice: NonNullable<ToolRequest["tool_choice"]>) {
  if (typeof choice === "string") return choice;
  if ("allowed_tools" in choice) {
    const { mode, tools } = (choice as z.infer<typeof allowed>).allowed_tools;
    return { names: tools.map((one) => one.function.name), isRequired: mode === "required" };
  }
  return { names: [(choice as z.infer<typeof named>).function.name], isRequired: true };
}

const wrong = (param: string, message: string): ApiError =>
  new ApiError(400, `${param}: ${message}`, { code: "invalid_value", param });
