/**
 * @file Compiles the WASM kernels: `npm run build:kernels`.
 *
 * Numbers of the weight formats → assembly/generated/weight-types.ts; offsets of parameter blocks and sizes that
 * both sides know → beside it. assembly/index.ts → a module with relaxed SIMD, and of that one with strict SIMD
 * (strict-simd.ts) → base64 strings in src/backends/wasm/generated/kernels.ts. Kernels use no atomic
 * instructions, so the variants for shared and for unshared memory differ in one flag of the memory import; its offset is written
 * beside each string and load-kernels.ts sets it. assembly/device/rows.ts → one small module for WebGPU, in
 * src/backends/webgpu/generated/row-kernels.ts. Does nothing when sources, compiler and this file are unchanged.
 */
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { WASM_FILES } from "../src/backends/parameters/wasm-blocks.ts";
import { parametersText } from "./parameter-offsets.ts";
import { strictModule } from "./strict-simd.ts";
import { leb, SECTION, sections } from "./wasm-binary.ts";
import { weightTypesText } from "./weight-types.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const OUTPUT = join(ROOT, "src/backends/wasm/generated/kernels.ts");
const DEVICE_OUTPUT = join(ROOT, "src/backends/webgpu/generated/row-kernels.ts");
/** Pages of memory: what wasm32 allows, and what the longest rows need on their way to a device. */
const MAX_PAGES = 65536;
const DEVICE_MAX_PAGES = 512;
const COMMON = ["-O3", "--noAssert", "--runtime", "stub", "--importMemory", "--use", "abort="];

const STRICT = ["--enable", "simd"];
const RELAXED = ["--enable", "simd,relaxed-simd"];

/** Changes when a source, the compiler or what is done with its output changes. */
async function digest(): Promise<string> {
  const hash = createHash("sha256");
  const entries = await readdir(join(ROOT, "assembly"), { recursive: true });
  for (const entry of entries.filter((e) => e.endsWith(".ts")).sort()) {
    hash.update(entry).update(await readFile(join(ROOT, "assembly", entry)));
  }
  for (const script of ["build-wasm.ts", "strict-simd.ts", "wasm-binary.ts"]) {
    hash.update(await readFile(join(ROOT, "tools", script)));
  }
  hash.update(await readFile(join(ROOT, "node_modules/assemblyscript/package.json")));
  return hash.digest("hex").slice(0, 16);
}

/** In a thread of its own, so that modules compile side by side. */
async function compile(name: string, entry: string, maxPages: number, flags: readonly string[]): Promise<Uint8Array> {
  const folder = await mkdtemp(join(tmpdir(), "turboquant-"));
  const file = join(folder, "kernels.wasm");
  const memory = ["--maximumMemory", `${maxPages}`];
  const options = [entry, "--outFile", file, "--baseDir", ROOT, ...COMMON, ...memory, ...flags];
  try {
    const problem = await new Promise<string | null>((resolve, reject) => {
      const worker = new Worker(new URL("asc-worker.mjs", import.meta.url), { workerData: options, execArgv: [] });
      worker.once("message", resolve).once("error", reject);
    });
    if (problem) throw new Error(`build-wasm: ${name} did not compile\n${problem}`);
    return new Uint8Array(await readFile(file));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** All threads share one memory and each instantiates the module, so a module must not have data or mutable globals of its own. */
function checkStateless(name: string, binary: Uint8Array): void {
  for (const { id, count, body } of sections(binary)) {
    if (id === SECTION.data && count > 0) {
      throw new Error(`build-wasm: ${name} has static data; kernels may not use memory.data, strings or static arrays`);
    }
    // A global begins with [type] [mutable]. Mutable globals are refused; -O3 removes constant ones.
    if (id === SECTION.globals && count > 0 && binary[body + 1] === 1) {
      throw new Error(`build-wasm: ${name} has a mutable global; kernels keep their state in params and scratch`);
    }
  }
}

/** Offset of the limits flag of the imported memory: 1 means that it has a maximum, 3 that it is also shared. */
function memoryFlagOffset(name: string, binary: Uint8Array): number {
  const MEMORY = 2;
  for (const { id, count, body } of sections(binary)) {
    if (id !== SECTION.imports) continue;
    let at = body;
    for (let field = 0; field < 2; field++) {
      const [length, text] = leb(binary, at);
      at = text + length;
    }
    if (count !== 1 || binary[at] !== MEMORY || binary[at + 1] !== 1) break;
    return at + 1;
  }
  throw new Error(`build-wasm: ${name} must import one thing, its memory with a maximum`);
}

/** Validates a module. Node 20 does not support relaxed SIMD, so it validates only the strict module. */
function checkValid(name: string, binary: Uint8Array, flag: number): void {
  const shared = binary.slice();
  shared[flag] = 3;
  const valid = [binary, shared].map((bytes) => WebAssembly.validate(bytes as BufferSource));
  if (valid[0] !== valid[1] || (name === "strict" && !valid[0])) {
    throw new Error(`build-wasm: ${name} is valid with unshared memory: ${valid[0]}, with shared memory: ${valid[1]}`);
  }
}

await mkdir(join(ROOT, "assembly/generated"), { recursive: true });
await writeFile(join(ROOT, "assembly/generated/weight-types.ts"), weightTypesText());
for (const [name, file] of Object.entries(WASM_FILES)) {
  await writeFile(join(ROOT, `assembly/generated/${name}.ts`), parametersText(file));
}
const stamp = `// ${await digest()}`;
const previous = await Promise.all([OUTPUT, DEVICE_OUTPUT].map((file) => readFile(file, "utf8").catch(() => "")));

async function write(file: string, lines: readonly string[]): Promise<void> {
  const head = ["/** @file Written by tools/build-wasm.ts from assembly/; not in git. */", stamp, ""];
  await mkdir(join(file, ".."), { recursive: true });
  await writeFile(file, `${[...head, ...lines].join("\n")}\n`);
}

async function buildDevice(): Promise<void> {
  const binary = await compile("device", "assembly/device/rows.ts", DEVICE_MAX_PAGES, STRICT);
  checkStateless("device", binary);
  const base64 = Buffer.from(binary).toString("base64");
  console.log(`build-wasm: device ${(binary.length / 1024).toFixed(1)} KiB`);
  await write(DEVICE_OUTPUT, [
    `export const rowKernels = {\n  maxPages: ${DEVICE_MAX_PAGES},\n  base64:\n    "${base64}",\n};`,
  ]);
}

if (previous.every((text) => text.includes(stamp))) {
  console.log("build-wasm: up to date");
} else {
  const start = performance.now();
  const lines: string[] = [];
  const [relaxed] = await Promise.all([compile("relaxed", "assembly/index.ts", MAX_PAGES, RELAXED), buildDevice()]);
  for (const [name, binary] of Object.entries({ strict: strictModule(relaxed), relaxed })) {
    const flag = memoryFlagOffset(name, binary);
    checkStateless(name, binary);
    checkValid(name, binary, flag);
    const base64 = Buffer.from(binary).toString("base64");
    lines.push(`export const ${name} = {\n  memoryFlagOffset: ${flag},\n  base64:\n    "${base64}",\n};`);
    console.log(`build-wasm: ${name} ${(binary.length / 1024).toFixed(1)} KiB`);
  }
  await write(OUTPUT, lines);
  console.log(`build-wasm: ${((performance.now() - start) / 1000).toFixed(1)} s`);
}
