/**
 * @file Makes the declarations in dist/ compile without `skipLibCheck` in any program: with the DOM's types or Node's or neither, from
 * TypeScript 5.4 on. `npm run build` runs it behind the compiler.
 *
 * What a declaration names of the platform (AbortSignal, Blob, GPU) is imported from dist/platform-types.d.ts, which takes it from the program
 * where that has it. Typed arrays over an ArrayBuffer are generic from TypeScript 5.7 on alone, so they are named there too.
 */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { ROOT } from "./source-files.ts";

const DIST = join(ROOT, "dist");
const SHARED = "platform-types";

/** What stands for a type where the program has none of that name: enough to be handed on. */
const PLATFORM: Readonly<Record<string, string>> = {
  AbortSignal: "{ readonly aborted: boolean; readonly reason: unknown; throwIfAborted(): void }",
  Blob: "{ readonly size: number; readonly type: string; arrayBuffer(): Promise<ArrayBuffer> }",
  GPUBuffer: "{ readonly size: number; readonly usage: number; destroy(): undefined }",
  GPUDevice: "{ readonly limits: object; readonly features: object; readonly queue: object; destroy(): undefined }",
  GPU: "{ requestAdapter(options?: object): Promise<object | null> }",
};

/** The type of the function, by which tests replace it. */
const FETCH = "Fetch";

const ARRAYS = ["Uint8Array", "Uint32Array", "Int32Array", "Float32Array", "Float64Array"];
/** `Uint8Array<ArrayBuffer>`, in each version's words what `Uint8Array.from` returns. */
const ownName = (array: string): string => `Own${array}`;

const SHARED_TEXT = `/** Types of the platform, as the program has them that imports this package. */
type OfProgram<Name extends string, Otherwise> = typeof globalThis extends { [K in Name]: { prototype: infer T } } ? T : Otherwise;
${Object.entries(PLATFORM)
  .map(([name, otherwise]) => `export type ${name} = OfProgram<"${name}", ${otherwise}>;`)
  .join("\n")}
export type ${FETCH} = typeof globalThis extends { fetch: infer T } ? T : (input: string, init?: object) => Promise<unknown>;
${ARRAYS.map((array) => `export type ${ownName(array)} = ReturnType<(typeof ${array})["from"]>;`).join("\n")}
`;

/** Comments are no uses. */
const withoutComments = (text: string): string => text.replace(/\/\*[\s\S]*?\*\/|\/\/[^\n]*/g, "");

function portable(path: string, text: string): string {
  const typed = text
    .replace(/\btypeof (globalThis\.)?fetch\b/g, FETCH)
    .replace(new RegExp(`\\b(${ARRAYS.join("|")})<ArrayBufferLike>`, "g"), "$1")
    .replace(new RegExp(`\\b(${ARRAYS.join("|")})<ArrayBuffer>`, "g"), (_, array: string) => ownName(array));
  const code = withoutComments(typed);
  const uses = (name: string): boolean => new RegExp(`(?<![.\\w"'])${name}\\b(?!["'\\w])`).test(code);
  const names = [...Object.keys(PLATFORM), FETCH, ...ARRAYS.map(ownName)].filter(uses);
  const from = relative(dirname(path), join(DIST, SHARED)).replaceAll("\\", "/");
  const imports =
    names.length > 0
      ? `import type { ${names.join(", ")} } from "${from.startsWith(".") ? from : `./${from}`}.js";\n`
      : "";
  const lib = code.includes("Symbol.asyncDispose") ? '/// <reference lib="esnext.disposable" />\n' : "";
  return lib + imports + typed;
}

for (const entry of readdirSync(DIST, { recursive: true, encoding: "utf8" })) {
  if (!entry.endsWith(".d.ts") || entry.startsWith("web") || entry.startsWith(SHARED)) continue;
  const path = join(DIST, entry);
  const text = readFileSync(path, "utf8");
  if (text.includes(`${SHARED}.js"`)) continue;
  writeFileSync(path, portable(path, text));
}
writeFileSync(join(DIST, `${SHARED}.d.ts`), SHARED_TEXT);
writeFileSync(join(DIST, `${SHARED}.js`), "export {};\n");
