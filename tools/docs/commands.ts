/**
 * @file Output of commands inside documents: between `<!-- $ COMMAND -->` and `<!-- /$ -->` is what the command prints. Text is
 * put into a fence; a table (`|` first) is inserted as it is.
 */
import { captureIo } from "../../test/support/cli-io.ts";
import "../../src/node/install.ts";
import { runCli } from "../../src/cli/run-cli.ts";
import { SECTIONS } from "../findings/sections.ts";
import { MODEL_SECTIONS } from "../models/sections.ts";

const BLOCK = /<!-- \$ (.+?) -->\n[\s\S]*?<!-- \/\$ -->/g;
const TURBOQUANT = "npx turboquant ";
/** Tools whose argument is the name of a table. */
const TABLES: Readonly<Record<string, Readonly<Record<string, () => string>>>> = {
  "npx tsx tools/findings.ts ": SECTIONS,
  "npx tsx tools/models.ts ": MODEL_SECTIONS,
};

/** All commands of a document, in order. */
export function commandsOf(text: string): string[] {
  return [...text.matchAll(BLOCK)].map((match) => match[1]!);
}

/** Replaces the output of the commands that `wants` selects; that of the others stays. */
export async function fillCommands(text: string, wants: (command: string) => boolean = () => true): Promise<string> {
  const outputs = new Map<string, string>();
  for (const command of new Set(commandsOf(text).filter(wants))) outputs.set(command, await outputOf(command));
  return text.replace(BLOCK, (block, command: string) => {
    const output = outputs.get(command);
    if (output === undefined) return block;
    const body = output.startsWith("|") ? `\n${output}\n` : `\`\`\`text\n${output}\`\`\`\n`;
    return `<!-- $ ${command} -->\n${body}<!-- /$ -->`;
  });
}

async function outputOf(command: string): Promise<string> {
  const tool = Object.keys(TABLES).find((prefix) => command.startsWith(prefix));
  const section = tool === undefined ? undefined : TABLES[tool]![command.slice(tool.length)];
  if (section) return section();
  if (command.startsWith(TURBOQUANT)) {
    const io = captureIo();
    const code = await runCli(command.slice(TURBOQUANT.length).split(" "), io);
    if (code === 0) return io.out();
    throw new Error(`${command}: exit code ${code}: ${io.err()}`);
  }
  throw new Error(
    `${command}: expected "${TURBOQUANT}…" or ${Object.keys(TABLES)
      .map((prefix) => `"${prefix}SECTION"`)
      .join(" or ")}`,
  );
}
