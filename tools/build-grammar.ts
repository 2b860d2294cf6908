/**
 * @file Compiles the engine for structured output: `npm run build:grammar`, needed only when grammar/ changes.
 *
 * grammar/src (llguidance and a few functions around it) → grammar/llguidance.wasm, which is in git, so that nobody else needs
 * Rust. The file says in a section of its own which sources it was made from, and a test compares that with those that are there.
 * Needs cargo and `rustup target add wasm32-unknown-unknown`.
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const FOLDER = fileURLToPath(new URL("../grammar/", import.meta.url));
const SOURCES = ["Cargo.toml", "Cargo.lock", "src/lib.rs"];
const TARGET = "wasm32-unknown-unknown";
/** The most memory that an instance may take, and its stack: 1 GiB, 4 MiB. */
const LINKED = [`-Clink-arg=--max-memory=${1 << 30}`, `-Clink-arg=-zstack-size=${4 << 20}`];

function digest(): string {
  const hash = createHash("sha256");
  for (const file of SOURCES) hash.update(file).update(readFileSync(join(FOLDER, file)));
  return hash.digest("hex").slice(0, 16);
}

const leb = (value: number): number[] => (value < 128 ? [value] : [(value & 127) | 128, ...leb(value >>> 7)]);

/** A section that engines ignore. */
function customSection(name: string, text: string): Uint8Array {
  const [title, content] = [name, text].map((part) => new TextEncoder().encode(part));
  const body = [...leb(title!.length), ...title!, ...content!];
  return Uint8Array.from([0, ...leb(body.length), ...body]);
}

const folder = mkdtempSync(join(tmpdir(), "turboquant-"));
try {
  // Messages of panics name source files, which lie elsewhere on every machine.
  const cargoHome = process.env["CARGO_HOME"] ?? join(homedir(), ".cargo");
  const registry = join(cargoHome, "registry/src");
  const remaps = readdirSync(registry).map((host) => `--remap-path-prefix=${join(registry, host)}/=`);
  execFileSync("cargo", ["build", "--release", "--locked", "--target", TARGET, "--target-dir", folder], {
    cwd: FOLDER,
    stdio: "inherit",
    env: { ...process.env, RUSTFLAGS: [...remaps, `--remap-path-prefix=${FOLDER}=grammar/`, ...LINKED].join(" ") },
  });
  const built = join(folder, TARGET, "release/llguidance_wasm.wasm");
  const small = join(folder, "small.wasm");
  // llguidance exports an interface of its own, and with it much that nobody here calls.
  const exported = [...readFileSync(join(FOLDER, "src/lib.rs"), "utf8").matchAll(/extern "C" fn (\w+)/g)].map(
    ([, name]) => name!,
  );
  const graph = join(folder, "graph.json");
  const roots = ["memory", ...exported].map((name) => ({ name: `export ${name}`, root: true, export: name }));
  writeFileSync(graph, JSON.stringify(roots));
  const bin = fileURLToPath(new URL("../node_modules/binaryen/bin/", import.meta.url));
  const binaryen = (tool: string, args: readonly string[]): void => {
    execFileSync(process.execPath, [join(bin, tool), "-all", ...args], { stdio: ["ignore", "ignore", "inherit"] });
  };
  binaryen("wasm-metadce", [built, "--graph-file", graph, "-o", small]);
  binaryen("wasm-opt", [small, "-O2", "-o", small]);
  const output = Buffer.concat([readFileSync(small), customSection("sources", digest())]);
  writeFileSync(join(FOLDER, "llguidance.wasm"), output);
  console.log(`build-grammar: ${(output.length / 1024).toFixed(1)} KiB`);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
