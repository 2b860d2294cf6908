/**
 * @file Checks dist/ as users of the package see it: every path in package.json exists, every entry can be imported, the platform-free entries
 * import no package, declarations compile without `skipLibCheck`, and what `npm install turboquant` puts on a disk. Run it after a build.
 * `npm run check:package`
 */
import { spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
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
for (const path of [...Object.values(manifest.bin), ...manifest.files.filter((file) => !file.startsWith("!"))]) {
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

/** The most bytes that the package and what comes with it take. */
const MOST_INSTALLED_BYTES = 40e6;

/** Bytes of the files of a folder and of those below it. */
function folderBytes(folder: string): number {
  return readdirSync(folder, { withFileTypes: true }).reduce((sum, entry) => {
    const path = join(folder, entry.name);
    return sum + (entry.isDirectory() ? folderBytes(path) : entry.isFile() ? statSync(path).size : 0);
  }, 0);
}

/** What npm packs, and the packages that it installs with it. */
function checkInstalledSize(): string {
  const npm = process.platform === "win32" ? "npm.cmd" : "npm";
  const { stdout } = spawnSync(npm, ["pack", "--dry-run", "--ignore-scripts", "--json"], {
    cwd: ROOT,
    encoding: "utf8",
    maxBuffer: 2 ** 26,
    shell: process.platform === "win32",
  });
  const [packed] = JSON.parse(stdout) as [
    { unpackedSize: number; size: number; files: { path: string; size: number }[] },
  ];
  const map = packed.files.find(({ path }) => path.endsWith(".map"));
  if (map) problems.push(`npm pack: has ${map.path}; source maps stay out, as stacks name modules without them`);
  const weights = packed.files.filter(({ path }) => path.endsWith("qwen3-3m/model.safetensors"));
  if (weights.length !== 1) problems.push(`npm pack: has the checkpoints ${weights.length} times, expected once`);
  const lock = JSON.parse(readFileSync(join(ROOT, "package-lock.json"), "utf8")) as {
    packages: Record<string, { dev?: boolean; peer?: boolean; devOptional?: boolean; optional?: boolean }>;
  };
  const needed = Object.entries(lock.packages).filter(
    ([path, { dev, peer, devOptional }]) =>
      path !== "" && !dev && !peer && !devOptional && existsSync(join(ROOT, path)),
  );
  const bytes = packed.unpackedSize + needed.reduce((sum, [path]) => sum + folderBytes(join(ROOT, path)), 0);
  const megabytes = (value: number): string => `${(value / 1e6).toFixed(1)} MB`;
  if (bytes > MOST_INSTALLED_BYTES)
    problems.push(
      `npm install: ${megabytes(bytes)} with its dependencies, expected at most ${megabytes(MOST_INSTALLED_BYTES)}`,
    );
  return `${megabytes(packed.size)} packed, ${megabytes(packed.unpackedSize)} unpacked, ${megabytes(bytes)} with ${needed.length} dependencies`;
}

/** Programs that import the package: by the compiler, and by what they know of a platform. */
const COMPILERS = ["typescript-oldest", "typescript", "typescript-native"];
const LIBS = [["ES2022"], ["ES2023", "DOM"]];

function checkTypes(): void {
  const folder = mkdtempSync(join(tmpdir(), "turboquant-types-"));
  try {
    mkdirSync(join(folder, "node_modules"));
    symlinkSync(ROOT, join(folder, "node_modules/turboquant"), "junction");
    writeFileSync(join(folder, "package.json"), '{"type":"module"}');
    const names = Object.keys(EXPECTED).map((name) => name.replace(".", "turboquant"));
    writeFileSync(
      join(folder, "all.ts"),
      names.map((name, i) => `import * as m${i} from "${name}";\nexport const n${i} = m${i};\n`).join(""),
    );
    for (const compiler of COMPILERS) {
      for (const lib of LIBS) {
        const compilerOptions = {
          ...{ target: "ES2022", module: "NodeNext", moduleResolution: "NodeNext", lib, types: [], strict: true },
          // The compiler's own declarations are not what is checked.
          ...{ noEmit: true, skipLibCheck: false, skipDefaultLibCheck: true, preserveSymlinks: true },
        };
        writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions, files: ["all.ts"] }));
        const { stdout } = spawnSync(
          process.execPath,
          [join(ROOT, "node_modules", compiler, "bin/tsc"), "-p", folder],
          {
            encoding: "utf8",
          },
        );
        if (stdout.trim() !== "") problems.push(`types, ${compiler}, lib ${lib.join("+")}:\n${stdout.trim()}`);
      }
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
}

checkTypes();
const size = checkInstalledSize();

if (problems.length > 0) {
  console.error(`${problems.join("\n")}\ncheck-package: ${problems.length} problem${problems.length === 1 ? "" : "s"}`);
  process.exitCode = 1;
} else {
  console.log(`check-package: ${Object.keys(manifest.exports).length} entries in order; ${size}`);
}
