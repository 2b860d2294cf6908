/** @file Which files a folder, a file and a folder with a quantization are. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { findLocalModel } from "./local-model.ts";

const root = mkdtempSync(join(tmpdir(), "tq-local-"));
afterAll(() => rmSync(root, { recursive: true }));

/** A folder of empty files; its path. */
function folderOf(...paths: string[]): string {
  const folder = mkdtempSync(join(root, "models-"));
  for (const path of paths) {
    mkdirSync(join(folder, dirname(path)), { recursive: true });
    writeFileSync(join(folder, path), "");
  }
  return folder;
}

const SPLIT = ["Q8_0/m-Q8_0-00001-of-00002.gguf", "Q8_0/m-Q8_0-00002-of-00002.gguf"];

describe("a file", () => {
  it("is a model by its name or by its first bytes, and else refused", async () => {
    const folder = folderOf("m.gguf", "model.safetensors");
    for (const name of ["0a1b2c", "m.GGUF", "ggml-model.bin"]) writeFileSync(join(folder, name), "GGUF\x03");
    for (const weights of ["m.gguf", "0a1b2c", "m.GGUF", "ggml-model.bin"])
      expect(await findLocalModel(join(folder, weights))).toEqual({ directory: folder, weights });
    const other = join(folder, "model.safetensors");
    await expect(findLocalModel(other)).rejects.toMatchObject({
      code: "invalid_argument",
      message: `model: expected a directory with config.json or a GGUF file, got the file ${other}, which is neither by its name nor by its first bytes; pass the directory it lies in`,
    });
  });
});

describe("a folder", () => {
  it("with weights of its own is the model", async () => {
    for (const own of ["model.safetensors", "model.safetensors.index.json", "m.gguf", "config.json"]) {
      const folder = folderOf(own, ...(own === "config.json" ? [] : SPLIT));
      expect(await findLocalModel(folder), own).toEqual({ directory: folder, weights: null });
    }
  });

  it("with one model in its subfolders is that model, beside a projector and a config.json too", async () => {
    const folder = folderOf("config.json", "mmproj-F16.gguf", "README.md", ...SPLIT);
    const found = { directory: join(folder, "Q8_0"), weights: "m-Q8_0-00001-of-00002.gguf" };
    expect(await findLocalModel(folder)).toEqual(found);
  });

  it("with several is refused with a list of them", async () => {
    const folder = folderOf("Q4_K_M/model.gguf", ...SPLIT);
    await expect(findLocalModel(folder)).rejects.toMatchObject({
      code: "invalid_argument",
      message: `${folder}: expected one model, got Q4_K_M/model.gguf, ${SPLIT[0]}; name one, such as ${folder}:Q4_K_M`,
    });
  });
});

describe("a folder with a quantization", () => {
  const folder = folderOf("m-F16.gguf", "UD-Q4_K_XL/m.gguf", "Q6_K/a.gguf", "Q6_K/b.gguf", ...SPLIT);

  it.each([
    ["f16", "", "m-F16.gguf"],
    ["Q8_0", "Q8_0", "m-Q8_0-00001-of-00002.gguf"],
    ["Q4_K_XL", "UD-Q4_K_XL", "m.gguf"],
  ])("%s is the file by its name or its folder's", async (quant, below, weights) => {
    expect(await findLocalModel(`${folder}:${quant}`)).toEqual({ directory: join(folder, below), weights });
  });

  it("that it does not have, or has twice, or in parts, is refused with what there is", async () => {
    await expect(findLocalModel(`${folder}:Q5_0`)).rejects.toMatchObject({
      code: "invalid_argument",
      message: `${folder} has no Q5_0; it has UD-Q4_K_XL, Q6_K, Q8_0, F16; name one of these after the colon`,
    });
    await expect(findLocalModel(`${folder}:Q6_K`)).rejects.toThrow(
      `${folder}:Q6_K means 2 models: Q6_K/a.gguf, Q6_K/b.gguf; name one, such as ${join(folder, "Q6_K/a.gguf")}`,
    );
    await expect(findLocalModel(`${folderOf(SPLIT[1]!)}:Q8_0`)).rejects.toMatchObject({
      code: "invalid_file",
      message: expect.stringMatching(/Q8_0: parts of Q8_0\/m-Q8_0-00002-of-00002\.gguf are missing; download them/),
    });
  });

  it("is nothing here where there are no such files: names of other kinds have colons too", async () => {
    for (const ref of ["ollama:llama3.2:1b", "org/none:Q8_0", `${folderOf("README.md")}:Q8_0`, "https://a.b/c:Q8_0"])
      expect(await findLocalModel(ref), ref).toBeNull();
  });
});
