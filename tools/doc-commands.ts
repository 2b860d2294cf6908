/** @file Runs the commands in documents again and inserts what they print: `npx tsx tools/doc-commands.ts docs/planning.md …` */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { readArguments, refuse } from "./command-line.ts";
import { fillCommands } from "./docs/commands.ts";

const documents = readArguments();
const missing = documents.find((path) => !existsSync(path));
if (documents.length === 0 || missing !== undefined) refuse(`expected documents, got ${missing ?? "none"}`);
for (const path of documents) {
  const before = readFileSync(path, "utf8");
  const after = await fillCommands(before);
  if (after !== before) writeFileSync(path, after);
  console.log(`${path}: ${after === before ? "up to date" : "written"}`);
}
