/**
 * @file Prints a table of docs/findings.md, computed here where no model is needed, or else made from rows that
 * record-findings.ts measured. `npx tsx tools/findings.ts SECTION`
 */

import { readArguments, refuse } from "./command-line.ts";
import { SECTIONS } from "./findings/sections.ts";

const [name = ""] = readArguments();
const section = SECTIONS[name];
if (!section) refuse(`expected one of ${Object.keys(SECTIONS).join(", ")}, got "${name}"`);
process.stdout.write(section());
