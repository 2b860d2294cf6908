/** @file Prints a table of docs/models.md from the registries: `npx tsx tools/models.ts SECTION` */

import { readArguments, refuse } from "./command-line.ts";
import { MODEL_SECTIONS } from "./models/sections.ts";

const [name = ""] = readArguments();
const section = MODEL_SECTIONS[name];
if (!section) refuse(`expected one of ${Object.keys(MODEL_SECTIONS).join(", ")}, got "${name}"`);
process.stdout.write(section());
