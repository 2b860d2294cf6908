/**
 * @file Runs the command line tool from a checkout: `npm start -- PROMPT`, `npm run bench -- OPTIONS`.
 *
 * Builds first when dist/ is missing or older than a source. It is plain JavaScript in one process, because it runs before
 * every command: comparing file times takes a few milliseconds.
 */
import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const main = join(root, "dist/cli/main.js");
/** Everything dist/ is built from. `generated` folders are made by the build. */
const SOURCES = [
  "src",
  "web",
  "assembly",
  "tools/build-wasm.ts",
  "tools/strict-simd.ts",
  "tsdown.config.ts",
  "package.json",
  "tsconfig.json",
];

/** Time of the newest file or folder. A folder's time shows that a file was deleted. */
function newest(path) {
  const stat = statSync(path);
  if (!stat.isDirectory()) return stat.mtimeMs;
  let time = stat.mtimeMs;
  for (const name of readdirSync(path)) {
    if (name === "generated" || name.endsWith(".test.ts")) continue;
    time = Math.max(time, newest(join(path, name)));
  }
  return time;
}

function isBuilt() {
  if (!existsSync(main)) return false;
  const built = statSync(main).mtimeMs;
  return SOURCES.every((source) => newest(join(root, source)) <= built);
}

function build() {
  if (!existsSync(join(root, "node_modules", "tsdown"))) {
    console.error("start: the build tools are not installed; run `npm ci` first");
    process.exit(2);
  }
  // stdout belongs to the command, whose output may be piped.
  process.stderr.write("Building (WASM kernels, then TypeScript; once) … ");
  const started = performance.now();
  const npm = process.platform === "win32" ? "npm.cmd" : "npm";
  const result = spawnSync(npm, ["run", "--silent", "build"], {
    cwd: root,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
    shell: process.platform === "win32",
  });
  if (result.status === 0) {
    process.stderr.write(`${((performance.now() - started) / 1000).toFixed(0)} s\n`);
    return;
  }
  process.stderr.write(`failed\n${result.error ?? ""}${result.stdout}${result.stderr}`);
  process.exit(1);
}

if (!isBuilt()) build();
process.argv.splice(1, 1, main);
await import(pathToFileURL(main).href);
