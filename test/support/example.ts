/** @file A program of `examples/` in one file, with the sources in place of the package. */
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { build } from "esbuild";
import { repoRoot } from "./shared.ts";

export const examples = join(repoRoot, "examples");

/** path: within `examples/`, or whole · folder: where the program is written · returns: its path */
export async function bundledExample(path: string, folder: string): Promise<string> {
  const outfile = join(folder, `${path.replace(/\W/g, "-")}.mjs`);
  const sources = join(repoRoot, "src/node/index.ts");
  await build({
    entryPoints: [resolve(examples, path)],
    outfile,
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node20",
    logLevel: "silent",
    packages: "external",
    plugins: [
      {
        name: "package",
        setup(building) {
          building.onResolve({ filter: /^turboquant$/ }, () => ({ path: sources }));
        },
      },
    ],
    // Where the package's own files are looked for.
    define: { "import.meta.url": JSON.stringify(pathToFileURL(sources).href) },
  });
  return outfile;
}
