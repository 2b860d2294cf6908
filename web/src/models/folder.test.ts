import { describe, expect, it } from "vitest";
import { readPicked } from "./folder.ts";

const read = (...paths: string[]) => readPicked(paths.map((path) => ({ path, file: path })));
const namesIn = (...paths: string[]) => {
  const picked = read(...paths);
  return "files" in picked ? [picked.name, ...picked.files.map(([name]) => name)] : [picked.problem];
};

describe("the model among picked files", () => {
  it("is the files beside config.json, under their names inside the checkpoint", () => {
    expect(namesIn("m/config.json", "m/model.safetensors", "m/onnx/config.json", "m/sub/x.txt")).toEqual([
      ...["m", "config.json", "model.safetensors", "onnx/config.json", "sub/x.txt"],
    ]);
    expect(read("m/config.json", "m/a.safetensors")).toMatchObject({
      kind: "folder",
      files: [["config.json", "m/config.json"], {}],
    });
  });

  it("is found deeper down, beside a config without weights, and among files picked without a folder", () => {
    expect(namesIn("top/README.md", "top/m/config.json", "top/m/a.safetensors")).toEqual([
      "m",
      "config.json",
      "a.safetensors",
    ]);
    expect(namesIn("top/config.json", "top/m/config.json", "top/m/a.safetensors")[0]).toBe("top");
    expect(namesIn("config.json", "a.safetensors")[0]).toBe("picked files");
  });

  it("is a GGUF file, its parts, and what lies beside it in a folder", () => {
    expect(namesIn("a.gguf")).toEqual(["picked files", "a.gguf"]);
    expect(namesIn("a-00001-of-00002.gguf", "a-00002-of-00002.gguf")).toHaveLength(3);
    expect(namesIn("m/a.gguf", "m/mmproj-f16.gguf", "m/a.kv_calibration.safetensors", "m/old/b.gguf")).toEqual([
      ...["m", "a.gguf", "mmproj-f16.gguf", "a.kv_calibration.safetensors"],
    ]);
    expect(namesIn("m/config.json", "m/a.gguf")).toEqual(["m", "config.json", "a.gguf"]);
  });

  it.each<[string[], RegExp]>([
    [[], /empty/],
    [["m/a.safetensors"], /no config\.json and no \.gguf/],
    [["m/config.json", "m/a.bin"], /no \*\.safetensors and no \.gguf/],
    [["m/a.gguf", "m/b-00001-of-00002.gguf", "m/b-00002-of-00002.gguf"], /several models in it \(a, b\); pick/],
  ])("%j: says what is missing", (paths, problem) => {
    expect(read(...paths)).toEqual({ problem: expect.stringMatching(problem) });
  });
});
