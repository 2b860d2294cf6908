/** @file Prints a table of docs/models.md from the registries: `npx tsx tools/models.ts SECTION` */
import { MODEL_SECTIONS } from "./models/sections.ts";

const name = process.argv[2] ?? "";
const section = MODEL_SECTIONS[name];
if (section) process.stdout.write(section());
else {
  process.stderr.write(`models: expected one of ${Object.keys(MODEL_SECTIONS).join(", ")}, got "${name}"\n`);
  process.exitCode = 2;
}
