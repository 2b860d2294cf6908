/**
 * @file Puts the WGSL kernels into a module, so that no bundle has to find files: `npm run build:kernels`.
 *
 * src/backends/webgpu/kernels/*.wgsl → src/backends/webgpu/generated/shaders.ts, one string a file.
 */
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const FOLDER = fileURLToPath(new URL("../src/backends/webgpu/", import.meta.url));
const OUTPUT = join(FOLDER, "generated/shaders.ts");

const names = (await readdir(join(FOLDER, "kernels"))).filter((name) => name.endsWith(".wgsl")).sort();
const entries = await Promise.all(
  names.map(async (name) => {
    const text = await readFile(join(FOLDER, "kernels", name), "utf8");
    return `  ${JSON.stringify(name.replace(/\.wgsl$/, ""))}: ${JSON.stringify(text)},`;
  }),
);
const lines = [
  "/** @file Written by tools/build-shaders.ts from src/backends/webgpu/kernels/; not in git. */",
  "export const shaders = {",
  ...entries,
  "} as const;",
  "",
  "export type ShaderName = keyof typeof shaders;",
  "",
];
const text = lines.join("\n");
const previous = await readFile(OUTPUT, "utf8").catch(() => "");
if (previous === text) {
  console.log("build-shaders: up to date");
} else {
  await mkdir(join(OUTPUT, ".."), { recursive: true });
  await writeFile(OUTPUT, text);
  console.log(`build-shaders: ${names.length} kernels, ${(text.length / 1024).toFixed(1)} KiB`);
}
