/**
 * @file Checks dist/ as users of the package see it: every path in package.json exists, every entry can be imported, and the
 * platform-free entries import no package. Run it after a build. `npm run check:package`
 */
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { ROOT } from "./source-files.ts";

interface Manifest {
  readonly exports: Readonly<Record<string, string | Readonly<Record<string, string>>>>;
  readonly bin: Readonly<Record<string, string>>;
  readonly files: readonly string[];
}

const manifest = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8")) as Manifest;
const problems: string[] = [];

/** One export of each entry, which shows that the entry is the right file. */
const EXPECTED: Readonly<Record<string, string>> = {
  ".": "LLM",
  "./node": "LLM",
  "./quant": "parseKvSpec",
  "./cache": "KvCache",
  "./formats": "openCheckpoint",
  "./tokenizer": "loadTokenizer",
  "./plan": "planMemory",
};

/** All files that `file` loads, itself included, and the names of packages. Imports inside functions do not count. */
function closure(file: string, seen = new Set<string>()): Set<string> {
  if (seen.has(file)) return seen;
  seen.add(file);
  for (const [, target] of readFileSync(file, "utf8").matchAll(/^(?:import|export)\s[^"']*["']([^"']+)["']/gm)) {
    if (target!.startsWith(".")) closure(join(dirname(file), target!), seen);
    else seen.add(target!);
  }
  return seen;
}

for (const [name, target] of Object.entries(manifest.exports)) {
  const paths = typeof target === "string" ? { default: target } : target;
  for (const [condition, path] of Object.entries(paths)) {
    if (!existsSync(join(ROOT, path)))
      problems.push(`exports["${name}"].${condition}: ${path} does not exist; build first`);
    // Files that a browser may load, and platform-free ones, must not import what a browser cannot resolve.
    else if (condition === "default" && path.endsWith(".js") && name !== "./node") {
      const outside = [...closure(join(ROOT, path))].filter((file) => !file.startsWith(ROOT));
      if (outside.length > 0)
        problems.push(`exports["${name}"]: loads ${outside.join(", ")}; it must load nothing outside`);
    }
  }
}
for (const path of [...Object.values(manifest.bin), ...manifest.files]) {
  if (!existsSync(join(ROOT, path))) problems.push(`${path}: named in package.json, does not exist`);
}
for (const path of Object.values(manifest.bin)) {
  if (!readFileSync(join(ROOT, path), "utf8").startsWith("#!")) problems.push(`${path}: has no #! line`);
}

if (!existsSync(join(ROOT, "dist/web/index.html"))) problems.push("dist/web: has no page; npm run build:web");

if (problems.length === 0) {
  for (const [name, member] of Object.entries(EXPECTED)) {
    // Imported under the package's own name, so that the conditions in package.json apply.
    const module = (await import(name.replace(".", "turboquant"))) as Record<string, unknown>;
    if (!(member in module)) problems.push(`import "${name.replace(".", "turboquant")}": has no ${member}`);
  }
  const { getPlatform } = (await import("turboquant" as string)) as { getPlatform(): { name: string } };
  if (getPlatform().name !== "node")
    problems.push(`import "turboquant": expected the Node platform, got ${getPlatform().name}`);
}

if (problems.length > 0) {
  console.error(`${problems.join("\n")}\ncheck-package: ${problems.length} problem${problems.length === 1 ? "" : "s"}`);
  process.exitCode = 1;
} else {
  console.log(`check-package: ${Object.keys(manifest.exports).length} entries in order`);
}
