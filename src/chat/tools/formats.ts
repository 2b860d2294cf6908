/** @file The ways of writing tool calls that there are. */
import { genericJson } from "./generic-json.ts";
import { harmony } from "./harmony.ts";
import { hermes } from "./hermes.ts";
import { llama3 } from "./llama3.ts";
import { mistral } from "./mistral.ts";
import { qwenXml } from "./qwen-xml.ts";
import type { ToolFormat } from "./tool-format.ts";

/** The first that a template matches is taken; the last one is for all. */
export const TOOL_FORMATS: readonly ToolFormat[] = [harmony, qwenXml, hermes, mistral, llama3, genericJson];

export const toolFormatOf = (template: string): ToolFormat => TOOL_FORMATS.find((format) => format.matches(template))!;
