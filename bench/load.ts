/**
 * @file Writes a model of Qwen3-0.6B's shape with random weights, times loading it with `bench load`, and deletes it:
 * `npx tsx bench/load.ts bf16,q8_0,q4_0,q4_k_m [--weights auto,q8,q4] [-t 2] [-r 5] [--json]`. Speed needs no download.
 *
 * bf16 is a safetensors checkpoint with the tokenizer of the default model; the others are GGUF files. At most 1.2 GB lie in the
 * temporary folder at a time.
 */
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { RandomCheckpoint } from "../src/models/random-weights.ts";
import { shapeConfig, shapeJson } from "../src/models/shapes.ts";
import { readArguments, refuse } from "../tools/command-line.ts";
import { FILE_TYPES, type FileType, writeRandomQwen3 } from "./peers/random-qwen3.ts";

const SHAPE = "qwen3-0.6b";
const root = fileURLToPath(new URL("..", import.meta.url));

/**
 * Tensors in their own order; the header's entries are made first, as their sizes are known. The checkpoint's folder is what it is called by, and
 * has the name that GGUF files of this shape say.
 */
async function writeBf16(place: string): Promise<string> {
  const folder = join(place, `random qwen3, ${shapeConfig(SHAPE).numLayers} layers`);
  mkdirSync(folder);
  const checkpoint = new RandomCheckpoint(shapeJson(SHAPE), SHAPE);
  const infos = [...(await checkpoint.tensors()).values()];
  let at = 0;
  const entries = infos.map(({ name, shape, numBytes }) => {
    at += numBytes;
    return [name, { dtype: "BF16", shape, data_offsets: [at - numBytes, at] }];
  });
  const header = Buffer.from(JSON.stringify(Object.fromEntries(entries)));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  const file = await open(join(folder, "model.safetensors"), "w");
  await file.writeFile(Buffer.concat([length, header]));
  for (const { name } of infos) await file.writeFile(await checkpoint.read(name));
  await file.close();
  writeFileSync(join(folder, "config.json"), JSON.stringify(shapeJson(SHAPE)));
  for (const name of ["tokenizer.json", "tokenizer_config.json"]) {
    copyFileSync(join(root, "models/qwen3-3m", name), join(folder, name));
  }
  return folder;
}

async function write(type: string, folder: string): Promise<string> {
  if (type === "bf16") return writeBf16(folder);
  const path = join(folder, `${SHAPE}-${type}.gguf`);
  await writeRandomQwen3(path, shapeConfig(SHAPE), type as FileType);
  return path;
}

const [types, ...flags] = readArguments();
const known = ["bf16", ...FILE_TYPES];
const unknown = types?.split(",").find((type) => !known.includes(type));
if (types === undefined || unknown !== undefined) {
  refuse(`expected types, of ${known.join(", ")}, comma separated${unknown ? `, got ${unknown}` : ""}`);
}
for (const type of types.split(",")) {
  const folder = mkdtempSync(join(tmpdir(), "turboquant-load-"));
  const remove = (): void => rmSync(folder, { recursive: true, force: true });
  process.once("exit", remove);
  try {
    const model = await write(type, folder);
    const command = ["src/cli/main.ts", "bench", "load", "-m", model, "--backend", "wasm", ...flags];
    execFileSync(process.execPath, ["--import", "tsx", ...command], { cwd: root, stdio: "inherit" });
  } finally {
    remove();
    process.off("exit", remove);
  }
}
