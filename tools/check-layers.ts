/**
 * @file Fails when a file of src/ imports from a layer it must not depend on, when files import each other in a circle (imports
 * of types included), when a file outside a backend's folder imports from it, when what families share imports a family, or when a
 * file outside src/node and src/cli depends on Node. `npm run check:layers`
 */
import { existsSync, readFileSync } from "node:fs";
import { dirname, join, posix } from "node:path";
import ts from "typescript";
import { isTest, ROOT, sourceFiles } from "./source-files.ts";

/** In the order of docs/architecture.md; a layer may import from the layers before it. */
const LAYERS: readonly (readonly string[])[] = [
  ["errors.ts", "closest.ts", "format-number.ts", "linked-abort.ts"],
  ["known-options.ts"],
  ["math"],
  ["quant"],
  ["weights"],
  ["cache", "formats", "tokenizer", "platform.ts"],
  ["chat"],
  ["backends"],
  ["models"],
  ["engine"],
  ["eval"],
  ["plan"],
  ["bench", "lab", "server"],
  ["index.ts"],
  ["node", "browser-platform.ts"],
  ["browser.ts", "cli"],
];

/** Exceptions: imports between parts of one layer, with the reason. */
const EXTRA: Readonly<Record<string, string>> = {
  "formats → platform.ts": "progress events",
  "platform.ts → formats": "the platform opens file sources",
  "engine → plan": "loading asks the planner, which knows nothing of the engine, what fits",
  "tokenizer → formats": "a tokenizer is read from a file source",
};

/** Besides a backend's own folder and the registry, who may know it: why. */
const BACKEND_EXTRA: Readonly<Record<string, string>> = {
  "src/cli/kernels/kernel-texts.ts → webgpu": "print-kernel shows the text of its kernels",
  "src/cli/kernels/tune-questions.ts → webgpu": "the tuner asks what a model asks of the choice of kernels",
  "src/cli/commands/tune.ts → webgpu": "the tuner keeps what it finds for a device",
  "src/bench/tune/tune.ts → webgpu": "the tuner runs kernels with plans that nobody chose",
  "src/bench/tune/search.ts → webgpu": "as tune.ts",
  "src/bench/tune/clock.ts → webgpu": "as tune.ts",
  "src/bench/tune/product-subject.ts → webgpu": "as tune.ts",
  "src/bench/tune/attention-subject.ts → webgpu": "as tune.ts",
  "src/bench/tune/attention-subject.ts → reference": "the tuner checks plans by it",
};

/** What families share: they import from here, and nothing here imports a family. */
const READERS = "src/models/families/readers/";

const NODE_FOLDERS = ["node", "cli"];
/** Globals of Node that browsers do not have. */
const NODE_GLOBALS = new Set(["process", "Buffer", "__dirname", "__filename", "require", "global"]);

/** src/backends/wasm/memory.ts → wasm, where that folder has the entry file of a backend */
function backendOf(path: string): string | null {
  const folder = /^src\/backends\/([^/]+)\/./.exec(path)?.[1];
  return folder && existsSync(join(ROOT, "src/backends", folder, "entry.ts")) ? folder : null;
}

/** A backend's folder is its own; the registry sees its entry file, and everybody else asks the registry. */
function mayKnowBackend(path: string, target: string): boolean {
  const backend = backendOf(target);
  if (backend === null || backend === backendOf(path)) return true;
  if (path === "src/backends/registry.ts") return target === `src/backends/${backend}/entry.ts`;
  if (path === "src/backends/open-backend.ts") return target === `src/backends/${backend}/open.ts`;
  return `${path} → ${backend}` in BACKEND_EXTRA;
}

interface Import {
  readonly target: string;
  readonly line: number;
  /** Loaded with the file: neither `import()` nor a type. */
  readonly isLoaded: boolean;
}

const levelOf = (part: string): number => LAYERS.findIndex((layer) => layer.includes(part));
/** The layer part of a path: src/cache/page-pool.ts → cache, src/errors.ts → errors.ts. */
const partOf = (path: string): string => path.split("/")[1] as string;

function importsOf(source: ts.SourceFile): Import[] {
  const found: Import[] = [];
  const add = (node: ts.Expression, isLoaded = false): void => {
    if (!ts.isStringLiteral(node)) return;
    found.push({ target: node.text, line: source.getLineAndCharacterOfPosition(node.getStart()).line + 1, isLoaded });
  };
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node)) add(node.moduleSpecifier, node.importClause?.isTypeOnly !== true);
    else if (ts.isExportDeclaration(node) && node.moduleSpecifier) add(node.moduleSpecifier, !node.isTypeOnly);
    else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword && node.arguments[0]) {
      add(node.arguments[0]);
    } else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) {
      add(node.argument.literal as ts.Expression);
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

/** Lines that use a global of Node. Members of the same name (`x.process`, `{ process: 1 }`) do not count. */
function nodeGlobals(source: ts.SourceFile): { name: string; line: number }[] {
  const found: { name: string; line: number }[] = [];
  const visit = (node: ts.Node): void => {
    const { parent } = node;
    if (ts.isIdentifier(node) && NODE_GLOBALS.has(node.text)) {
      const isMember =
        (ts.isPropertyAccessExpression(parent) && parent.name === node) ||
        ((ts.isPropertyAssignment(parent) || ts.isPropertySignature(parent) || ts.isMethodDeclaration(parent)) &&
          parent.name === node);
      if (!isMember)
        found.push({ name: node.text, line: source.getLineAndCharacterOfPosition(node.getStart()).line + 1 });
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

const problems: string[] = [];
const graph = new Map<string, string[]>();
/** What is loaded with a file. */
const loaded = new Map<string, string[]>();

for (const path of sourceFiles("src", [".ts"])) {
  // Tests run on Node and may import anything.
  if (isTest(path)) continue;
  if (/\/test-[^/]+$/.test(path)) {
    problems.push(`${path}: what only tests use belongs to test/support`);
    continue;
  }
  const part = partOf(path);
  if (levelOf(part) < 0) {
    problems.push(`${path}: src/${part} is in no layer; add it to LAYERS in tools/check-layers.ts`);
    continue;
  }
  const source = ts.createSourceFile(path, readFileSync(join(ROOT, path), "utf8"), ts.ScriptTarget.Latest, true);
  const mayUseNode = NODE_FOLDERS.includes(part);
  if (!mayUseNode) {
    for (const { name, line } of nodeGlobals(source)) {
      problems.push(`${path}:${line}: ${name} exists in Node only; go through src/platform.ts`);
    }
  }
  const edges: string[] = [];
  const imports = importsOf(source);
  loaded.set(
    path,
    imports.filter(({ isLoaded }) => isLoaded).map(({ target }) => posix.join(dirname(path), target)),
  );
  for (const { target, line } of imports) {
    if (target.startsWith("node:")) {
      if (!mayUseNode) problems.push(`${path}:${line}: imports ${target}; only src/node and src/cli may`);
      continue;
    }
    if (!target.startsWith(".")) continue;
    const resolved = posix.join(dirname(path), target);
    edges.push(resolved);
    const other = partOf(resolved);
    if (!resolved.startsWith("src/")) problems.push(`${path}:${line}: imports ${resolved}, which is not part of src/`);
    else if (!mayKnowBackend(path, resolved)) {
      problems.push(`${path}:${line}: imports ${resolved}; ask src/backends/registry.ts for the backend`);
    } else if (
      path.startsWith(READERS) &&
      /^src\/models\/families\/[^/]+\//.test(resolved) &&
      !resolved.startsWith(READERS)
    ) {
      problems.push(
        `${path}:${line}: imports the family ${resolved}; what several families read alike belongs to ${READERS}`,
      );
    } else if (other !== part && levelOf(other) >= levelOf(part) && !(`${part} → ${other}` in EXTRA)) {
      problems.push(`${path}:${line}: ${part} may not import from ${other} (docs/architecture.md, "Layers")`);
    }
  }
  graph.set(path, edges);
}

/** Everything that is loaded with a file, itself included. */
function closureOf(path: string, seen: Set<string> = new Set()): Set<string> {
  if (seen.has(path)) return seen;
  seen.add(path);
  for (const next of loaded.get(path) ?? []) closureOf(next, seen);
  return seen;
}

/** What plans load is light, and drags no backend into a bundle, not even as a part to load later. */
for (const path of closureOf("src/plan/index.ts")) {
  if (
    path.includes("/generated/") ||
    path === "src/backends/open-backend.ts" ||
    /^src\/backends\/\w+\/open\.ts$/.test(path)
  ) {
    problems.push(`src/plan/index.ts loads ${path}: plans know the faces of backends alone (src/backends/registry.ts)`);
  }
}
for (const path of closureOf("src/backends/open-backend.ts")) {
  if (path.includes("/generated/")) {
    problems.push(`src/backends/open-backend.ts loads ${path}: a backend is imported when it is opened`);
  }
}

/** Depth-first search. A file that is reached while it is still being visited closes a circle. */
function findCircles(): string[][] {
  const state = new Map<string, "open" | "done">();
  const circles: string[][] = [];
  const walk = (path: string, trail: readonly string[]): void => {
    if (state.get(path) === "done") return;
    if (state.get(path) === "open") {
      circles.push(trail.slice(trail.indexOf(path)));
      return;
    }
    state.set(path, "open");
    for (const next of graph.get(path) ?? []) walk(next, [...trail, path]);
    state.set(path, "done");
  };
  for (const path of graph.keys()) walk(path, []);
  return circles;
}

for (const circle of findCircles()) {
  problems.push(`circle of imports, those of types included: ${[...circle, circle[0]].join(" → ")}`);
}
if (problems.length > 0) {
  console.error(problems.join("\n"));
  console.error(`check-layers: ${problems.length} problem${problems.length === 1 ? "" : "s"}`);
  process.exitCode = 1;
} else {
  console.log(`check-layers: ${graph.size} files in order`);
}
