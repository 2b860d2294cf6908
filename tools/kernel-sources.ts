/**
 * @file What WebGPU kernels and their plans are made from: the files of the backend, which are .wgsl texts and the TypeScript that makes texts,
 * chooses among them and dispatches them, and all that these import. A plan that the tuner has found holds for these.
 */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join, posix } from "node:path";
import { isTest, ROOT, sourceFiles } from "./source-files.ts";

/** Imports and exports from other files of the project, except those of types alone, which leave no trace in what runs. */
const IMPORT = /^(?:import|export)\s(?!type\s)[^;"]*?"(\.[^"]+)"/gm;
/** Written from other sources, among them from these. */
const isGenerated = (path: string): boolean => path.includes("/generated/");

/** Texts by their paths from the root, in order of these. */
async function textsOfKernels(): Promise<[path: string, text: string][]> {
  const texts = new Map<string, string>();
  let next = sourceFiles("src/backends/webgpu", [".wgsl", ".ts"]).filter((path) => !isTest(path));
  while (next.length > 0) {
    const read = await Promise.all(next.map(async (path) => [path, await readFile(join(ROOT, path), "utf8")] as const));
    for (const [path, text] of read) texts.set(path, text);
    const imported = read.flatMap(([path, text]) =>
      [...text.matchAll(IMPORT)].map(([, target]) => posix.join(posix.dirname(path), target!)),
    );
    next = [...new Set(imported)].filter((path) => !texts.has(path) && !isGenerated(path));
  }
  return [...texts].sort(([a], [b]) => (a < b ? -1 : 1));
}

/** Paths from the root, in order. */
export async function kernelSources(): Promise<string[]> {
  return (await textsOfKernels()).map(([path]) => path);
}

/** A number of the sources' names and texts. */
export async function kernelsHash(): Promise<string> {
  const hash = createHash("sha256");
  for (const [path, text] of await textsOfKernels()) hash.update(`${path}\n${text}\n`);
  return hash.digest("hex").slice(0, 16);
}
