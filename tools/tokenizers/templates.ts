/** @file Compares what templates make of conversations with Jinja2 as Transformers runs it. */
import { readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { ChatTemplate } from "../../src/tokenizer/index.ts";
import { CONVERSATIONS } from "./conversations.ts";
import type { Oracle } from "./oracle.ts";

export interface TemplateRow {
  readonly name: string;
  readonly rendered: number;
  /** Both refuse. */
  readonly refused: number;
  readonly differences: readonly string[];
}

const SPECIAL = { bos_token: "<s>", eos_token: "</s>", unk_token: "<unk>", pad_token: "<pad>" };

interface Answer {
  readonly text?: string;
  readonly error?: string;
}

async function ours(template: ChatTemplate, index: number, addGenerationPrompt: boolean): Promise<Answer> {
  const { messages, tools, variables } = CONVERSATIONS[index]!;
  try {
    const text = await template.render(messages, {
      addGenerationPrompt,
      ...(tools && { tools }),
      ...(variables && { variables }),
    });
    return { text };
  } catch (cause) {
    return { error: (cause as Error).message };
  }
}

async function theirs(oracle: Oracle, source: string, index: number, addGenerationPrompt: boolean): Promise<Answer> {
  const { messages, tools, variables } = CONVERSATIONS[index]!;
  const given = { documents: null, ...SPECIAL, ...variables, messages, tools: tools ?? null };
  return await oracle.ask<Answer>({
    template: source,
    variables: { ...given, add_generation_prompt: addGenerationPrompt },
  });
}

export async function compareTemplates(folder: string, oracle: Oracle): Promise<TemplateRow[]> {
  const rows: TemplateRow[] = [];
  for (const file of readdirSync(folder)
    .filter((name) => name.endsWith(".jinja"))
    .sort()) {
    const source = readFileSync(join(folder, file), "utf8");
    const template = ChatTemplate.from(source, SPECIAL, "m")!;
    let [rendered, refused] = [0, 0];
    const differences: string[] = [];
    for (const [index, { name }] of CONVERSATIONS.entries()) {
      for (const addGenerationPrompt of [false, true]) {
        const [got, want] = [
          await ours(template, index, addGenerationPrompt),
          await theirs(oracle, source, index, addGenerationPrompt),
        ];
        if (got.text !== undefined && got.text === want.text) rendered++;
        else if (got.error !== undefined && want.error !== undefined) refused++;
        else
          differences.push(`${name}${addGenerationPrompt ? ", with a header" : ""}: ${shown(got)} for ${shown(want)}`);
      }
    }
    rows.push({ name: basename(file, ".jinja"), rendered, refused, differences });
  }
  return rows;
}

function shown({ text, error }: Answer): string {
  return error === undefined ? JSON.stringify(text).slice(0, 4000) : `refusal (${error.slice(0, 200)})`;
}
