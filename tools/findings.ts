/**
 * @file Prints a table of docs/findings.md, computed here where no model is needed, or else made from rows that
 * record-findings.ts measured. `npx tsx tools/findings.ts SECTION`
 */
import { SECTIONS } from "./findings/sections.ts";

const name = process.argv[2] ?? "";
const section = SECTIONS[name];
if (section) process.stdout.write(section());
else {
  process.stderr.write(`findings: expected one of ${Object.keys(SECTIONS).join(", ")}, got "${name}"\n`);
  process.exitCode = 2;
}
