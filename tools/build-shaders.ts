/**
 * @file Puts the WGSL kernels into one TypeScript module, so that bundlers need not find files: `npm run build:kernels`.
 *
 * Reads the .wgsl files below src/backends/webgpu/ and writes src/backends/webgpu/generated/shaders.ts, with one string for
 * each file, keyed by the file's name without its folder, and a number that changes with them and with the TypeScript around them.
 */
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { kernelsHash } from "./kernel-sources.ts";

const FOLDER = fileURLToPath(new URL("../src/backends/webgpu/", import.meta.url));
const OUTPUT = join(FOLDER, "generated/shaders.ts");

const paths = (await readdir(FOLDER, { recursive: true })).filter((path) => path.endsWith(".wgsl"));
const files = paths.map((path) => ({ path, name: basename(path, ".wgsl") })).sort((a, b) => (a.name < b.name ? -1 : 1));
for (const [index, { path, name }] of files.entries()) {
  const next = files[index + 1];
  if (next?.name === name) throw new Error(`build-shaders: ${path} and ${next.path} share a name; rename one of them`);
}
const entries = await Promise.all(
  files.map(async ({ path, name }) => {
    const text = await readFile(join(FOLDER, path), "utf8");
    return `  ${JSON.stringify(name)}: ${JSON.stringify(text)},`;
  }),
);
const lines = [
  "/** @file Written by tools/build-shaders.ts from the .wgsl files of src/backends/webgpu/; not in git. */",
  "export const shaders = {",
  ...entries,
  "} as const;",
  "",
  "export type ShaderName = keyof typeof shaders;",
  "",
  "/** Changes with any source of kernels: see tools/kernel-sources.ts. */",
  `export const KERNELS_HASH = ${JSON.stringify(await kernelsHash())};`,
  "",
];
const text = lines.join("\n");
const previous = await readFile(OUTPUT, "utf8").catch(() => "");
if (previous === text) {
  console.log("build-shaders: up to date");
} else {
  await mkdir(join(OUTPUT, ".."), { recursive: true });
  await writeFile(OUTPUT, text);
  console.log(`build-shaders: ${files.length} files, ${(text.length / 1024).toFixed(1)} KiB`);
}
