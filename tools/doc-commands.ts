/** @file Runs the commands in documents again and inserts what they print: `npx tsx tools/doc-commands.ts docs/planning.md …` */
import { readFileSync, writeFileSync } from "node:fs";
import { fillCommands } from "./docs/commands.ts";

for (const path of process.argv.slice(2)) {
  const before = readFileSync(path, "utf8");
  const after = await fillCommands(before);
  if (after !== before) writeFileSync(path, after);
  console.log(`${path}: ${after === before ? "up to date" : "written"}`);
}
