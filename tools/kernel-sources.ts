/**
 * @file What WebGPU kernels and their plans are made from: the .wgsl files, and the TypeScript that makes their texts, chooses among them and
 * dispatches them. A plan that the tuner has found holds for these.
 */
import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../", import.meta.url));
const FOLDERS = ["src/backends/webgpu", "src/backends/parameters", "src/weights/formats"];

const isSource = (path: string): boolean =>
  /\.(wgsl|ts)$/.test(path) && !path.endsWith(".test.ts") && !path.includes("generated/");

/** Paths from the root, in order. */
export async function kernelSources(): Promise<string[]> {
  const lists = await Promise.all(
    FOLDERS.map(async (folder) =>
      (await readdir(join(ROOT, folder), { recursive: true })).map((path) => `${folder}/${path.replaceAll("\\", "/")}`),
    ),
  );
  return lists.flat().filter(isSource).sort();
}

/** A number of the sources' names and texts. */
export async function kernelsHash(): Promise<string> {
  const hash = createHash("sha256");
  for (const path of await kernelSources()) hash.update(`${path}\n${await readFile(join(ROOT, path), "utf8")}\n`);
  return hash.digest("hex").slice(0, 16);
}
