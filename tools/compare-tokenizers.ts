/**
 * @file Compares tokenizers with the Rust tokenizers and templates with Jinja2 as Transformers runs it.
 *
 * `npx tsx tools/compare-tokenizers.ts --python PYTHON [--tokenizers DIR] [--templates DIR] [--write] [--all]`
 * PYTHON has the packages tokenizers, jinja2 and transformers. Cuts by the pre-tokenizers of GGUF files are compared always. Below the first DIR every tokenizer.json is compared, such as those of
 * npm packages; in the second every .jinja file. `--write` puts the tables into docs/tokenizers.md, `--all` prints every difference. The exit code is 1
 * when something differs.
 */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { readCommandLine } from "./command-line.ts";
import { CONVERSATIONS } from "./tokenizers/conversations.ts";
import { Oracle } from "./tokenizers/oracle.ts";
import { comparePreTokenizers, type PreTokenizerRow } from "./tokenizers/pre-tokenizers.ts";
import { compareTemplates, type TemplateRow } from "./tokenizers/templates.ts";
import { compareTokenizer, type TokenizerRow } from "./tokenizers/tokenizers.ts";

const DOCUMENT = fileURLToPath(new URL("../docs/tokenizers.md", import.meta.url));

const { values } = readCommandLine({
  options: {
    python: { type: "string", default: "python3" },
    tokenizers: { type: "string" },
    templates: { type: "string" },
    write: { type: "boolean", default: false },
    all: { type: "boolean", default: false },
  },
});

const count = (n: number): string => n.toLocaleString("en-US");

function tokenizerTable(rows: readonly TokenizerRow[], version: string): string {
  const lines = rows.map(({ name, equal, refused, differences }) => {
    const note = refused === null ? "" : refused.replace(/^[^:]*: /, "").split(",")[0]!;
    return `| ${name} | ${count(equal)} | ${count(differences.length)} | ${note} |`;
  });
  return `Rust tokenizers ${version}.\n\n| tokenizer | equal | different | refused |\n|---|---|---|---|\n${lines.join("\n")}`;
}

function templateTable(rows: readonly TemplateRow[], jinja: string, transformers: string): string {
  const lines = rows.map(
    ({ name, rendered, refused, differences }) =>
      `| ${name} | ${count(rendered)} | ${count(refused)} | ${count(differences.length)} |`,
  );
  const sum = (of: (row: TemplateRow) => number): string => count(rows.reduce((total, row) => total + of(row), 0));
  const total = `| all ${rows.length} | ${sum((row) => row.rendered)} | ${sum((row) => row.refused)} | ${sum((row) => row.differences.length)} |`;
  return `Jinja2 ${jinja}, Transformers ${transformers}; ${CONVERSATIONS.length} conversations, each with and without the header of an answer.\n\n| template | equal | refused by both | different |\n|---|---|---|---|\n${lines.join("\n")}\n${total}`;
}

function preTokenizerTable(rows: readonly PreTokenizerRow[], version: string): string {
  const lines = rows.map(
    ({ names, equal, differences }) =>
      `| ${names.map((name) => `\`${name}\``).join(", ")} | ${count(equal)} | ${count(differences.length)} |`,
  );
  return `Rust tokenizers ${version}.\n\n| \`tokenizer.ggml.pre\` | equal | different |\n|---|---|---|\n${lines.join("\n")}`;
}

/** Puts a table between `<!-- NAME -->` and `<!-- /NAME -->`. */
function insert(document: string, name: string, table: string): string {
  const block = new RegExp(`<!-- ${name} -->[\\s\\S]*?<!-- /${name} -->`);
  if (!block.test(document)) throw new Error(`docs/tokenizers.md: expected <!-- ${name} -->, got none; add it`);
  return document.replace(block, () => `<!-- ${name} -->\n\n${table}\n\n<!-- /${name} -->`);
}

const oracle = new Oracle(values.python);
const versions = await oracle.ask<Readonly<Record<string, string>>>({ versions: true });
let document = readFileSync(DOCUMENT, "utf8");
let differences = 0;
const report = (name: string, found: readonly string[]): void => {
  differences += found.length;
  for (const one of values.all ? found : found.slice(0, 3)) console.error(`${name}: ${one.slice(0, 2000)}`);
};

const cuts = await comparePreTokenizers(oracle);
for (const { names, differences: found } of cuts) report(names[0]!, found);
const cutTable = preTokenizerTable(cuts, versions["tokenizers"] ?? "?");
console.log(`${cutTable}\n`);
document = insert(document, "pre-tokenizers", cutTable);
if (values.tokenizers !== undefined) {
  const root = values.tokenizers;
  const files = readdirSync(root, { recursive: true, encoding: "utf8" }).filter((path) =>
    path.endsWith("tokenizer.json"),
  );
  const rows: TokenizerRow[] = [];
  for (const file of files.sort()) {
    const name = relative(root, join(root, dirname(file))).replace(/^node_modules\/|\/models$/g, "");
    const row = await compareTokenizer(name, join(root, file), oracle);
    report(name, row.differences);
    rows.push(row);
  }
  const table = tokenizerTable(rows, versions["tokenizers"] ?? "?");
  console.log(`${table}\n`);
  document = insert(document, "tokenizers", table);
}
if (values.templates !== undefined) {
  const rows = await compareTemplates(values.templates, oracle);
  for (const { name, differences: found } of rows) report(name, found);
  const table = templateTable(rows, versions["jinja2"] ?? "?", versions["transformers"] ?? "?");
  console.log(table);
  document = insert(document, "templates", table);
}
oracle.close();
if (values.write) writeFileSync(DOCUMENT, document);
if (differences > 0) {
  console.error(`compare-tokenizers: ${count(differences)} differences`);
  process.exitCode = 1;
}
