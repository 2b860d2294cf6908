/**
 * @file Builds the documentation as static files: `npm run build:docs`, or `npx tsx tools/docs-site.ts --out FOLDER`.
 *
 * The README is the front page; the documents, and the reference of every entry point from its docstrings, lie beside it with a search
 * over both. Where `dist/web` is there (`npm run build:web`), the page is part of it as `app/`. Links that lead nowhere and names that
 * docstrings mention and nothing has are errors.
 */
import { cpSync, existsSync, readdirSync, readFileSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import {
  Application,
  Comment,
  type Context,
  Converter,
  type DeclarationReflection,
  DocumentReflection,
  KindRouter,
  OptionDefaults,
  type Reflection,
  ReflectionKind,
} from "typedoc";
import { readCommandLine, usageOf } from "./command-line.ts";
import { ROOT } from "./source-files.ts";

/** Entry points by what a program imports, and by their place in the tree. */
const ENTRIES = {
  turboquant: "src/index.ts",
  "turboquant/quant": "src/quant/index.ts",
  "turboquant/cache": "src/cache/index.ts",
  "turboquant/formats": "src/formats/index.ts",
  "turboquant/tokenizer": "src/tokenizer/index.ts",
  "turboquant/plan": "src/plan/index.ts",
};
/** Documents by the heading of the side bar that they are under, both in its order. */
const DOCUMENTS = {
  "Begin here": ["docs/tutorial.md", "examples/README.md", "docs/coming-from.md", "docs/troubleshooting.md"],
  Guides: [
    "cli",
    "web",
    "server",
    "fleet",
    "speculation",
    "models",
    "weights",
    "tokenizers",
    "planning",
    "evaluation",
    "lab",
  ].map((name) => `docs/${name}.md`),
  Measured: ["docs/benchmarks.md", "docs/findings.md", "docs/kernels.md"],
  "How it works": [
    "docs/architecture.md",
    "docs/backends.md",
    "docs/glossary.md",
    "docs/new-architecture.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
  ],
  "Formats on disk": filesOf("docs/formats"),
  Decisions: filesOf("docs/decisions"),
};

function filesOf(folder: string): string[] {
  return readdirSync(join(ROOT, folder))
    .filter((name) => name.endsWith(".md"))
    .sort()
    .map((name) => `${folder}/${name}`);
}

function groupOf(path: string): string {
  const group = Object.entries(DOCUMENTS).find(([, paths]) => paths.includes(path))?.[0];
  if (!group)
    throw new Error(`${path}: it is under no heading of the side bar; name it in DOCUMENTS of tools/docs-site.ts`);
  return group;
}

const listed = Object.values(DOCUMENTS).flat();
filesOf("docs").forEach(groupOf);

const { values } = readCommandLine({ options: { out: { type: "string", default: "site" } } });
const out = resolve(values.out);

const app = await Application.bootstrap({
  name: "turboquant",
  entryPoints: Object.values(ENTRIES).map((path) => join(ROOT, path)),
  // The tests, whose types nothing documents, need not be read.
  tsconfig: join(ROOT, "tools/tsconfig.docs.json"),
  readme: join(ROOT, "README.md"),
  projectDocuments: listed.map((path) => join(ROOT, path)),
  groupOrder: [...Object.keys(DOCUMENTS).slice(0, 2), "Modules", ...Object.keys(DOCUMENTS).slice(2), "*"],
  blockTags: [...OptionDefaults.blockTags, "@file"],
  includeVersion: true,
  excludeInternal: true,
  excludePrivate: true,
  // Where the sources are published is nobody's knowledge but the package's.
  disableSources: true,
  // `npm run check:types` does that, with another compiler.
  skipErrorChecking: true,
  validation: { notExported: false, invalidLink: true, invalidPath: true, notDocumented: false },
  navigation: { includeGroups: true, includeCategories: false, includeFolders: true },
  markdownItLoader: namesInHeadings,
  logLevel: "Warn",
});

/** Headings that are code get an anchor and a line in the list of headings as those of words do. */
function namesInHeadings(parser: MarkdownIt): void {
  parser.core.ruler.push("names-in-headings", ({ tokens }) => {
    for (const [i, { type }] of tokens.entries()) {
      if (type !== "heading_open") continue;
      for (const child of tokens[i + 1]?.children ?? []) if (child.type === "code_inline") child.type = "text";
    }
  });
}

/** What is used of the Markdown parser, which is a dependency of TypeDoc's. */
interface MarkdownIt {
  core: { ruler: { push(name: string, rule: (state: { tokens: Token[] }) => void): void } };
}
interface Token {
  type: string;
  children: Token[] | null;
}

/** Path of a document in the repository. */
function pathOf(document: DocumentReflection): string {
  return relative(ROOT, document.project.files.getReflectionPath(document) ?? ROOT).replaceAll("\\", "/");
}

/** Documents have the addresses that their files have, whatever they are called. */
class FileRouter extends KindRouter {
  protected override getIdealBaseName(reflection: Reflection): string {
    return reflection instanceof DocumentReflection
      ? pathOf(reflection).replace(/\.md$/, "")
      : super.getIdealBaseName(reflection);
  }
}
app.renderer.defineRouter("files", FileRouter);
app.options.setValue("router", "files");

// A document is called what its first heading says.
app.converter.on(Converter.EVENT_CREATE_DOCUMENT, (_, document) => {
  const [first] = document.content;
  const heading = first?.kind === "text" ? /^\s*# (.+)\n/.exec(first.text) : null;
  if (heading) document.name = heading[1]!.replaceAll("`", "");
  document.frontmatter["group"] = groupOf(pathOf(document));
});

// A module is called what a program imports it by, and described by the head of its file.
app.converter.on(Converter.EVENT_RESOLVE_BEGIN, ({ project }: Context) => {
  for (const module of project.getReflectionsByKind(ReflectionKind.Module) as DeclarationReflection[]) {
    const file = project.files.getReflectionPath(module)!;
    const [name] = Object.entries(ENTRIES).find(([, path]) => join(ROOT, path) === file)!;
    module.name = name;
    module.comment = new Comment([{ kind: "text", text: usageOf(readFileSync(file, "utf8")) ?? "" }]);
  }
  for (const reflection of Object.values(project.reflections)) reflection.comment?.removeTags("@file");
});

const project = await app.convert();
if (!project) process.exit(1);
app.validate(project);
await app.generateDocs(project, out);
const page = join(ROOT, "dist/web");
const hasPage = existsSync(page);
if (hasPage) cpSync(page, join(out, "app"), { recursive: true });
if (app.logger.hasErrors() || app.logger.hasWarnings()) process.exit(1);
process.stdout.write(
  `${relative(process.cwd(), out)}: the documentation ${hasPage ? "and the page" : "without the page, as dist/web is not built (npm run build:web)"}\n`,
);
