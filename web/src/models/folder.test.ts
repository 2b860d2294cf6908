import { describe, expect, it } from "vitest";
import { readFolder } from "./folder.ts";

/** Files as a folder picker gives them. */
const picked = (...paths: string[]) =>
  paths.map((path) => ({ name: path.split("/").at(-1)!, webkitRelativePath: path.includes("/") ? path : "" }));

describe("readFolder", () => {
  it("takes the files beside config.json under their names inside the checkpoint", () => {
    const folder = readFolder(picked("m/config.json", "m/model.safetensors", "m/onnx/config.json", "m/sub/x.txt"));
    expect(folder).toMatchObject({ kind: "folder", name: "m" });
    expect("files" in folder && folder.files.map(([name]) => name)).toEqual([
      "config.json",
      "model.safetensors",
      "onnx/config.json",
      "sub/x.txt",
    ]);
  });

  it("finds a checkpoint deeper down, and files picked without a folder", () => {
    const deep = readFolder(picked("top/README.md", "top/m/config.json", "top/m/a.safetensors"));
    expect(deep).toMatchObject({ name: "m" });
    expect("files" in deep && deep.files.map(([name]) => name)).toEqual(["config.json", "a.safetensors"]);
    expect(readFolder(picked("config.json", "a.safetensors"))).toMatchObject({ name: "picked files" });
  });

  it("says what is missing", () => {
    expect(readFolder([])).toEqual({ problem: expect.stringContaining("empty") });
    expect(readFolder(picked("m/a.safetensors"))).toEqual({ problem: expect.stringContaining("no config.json") });
    expect(readFolder(picked("m/config.json", "m/a.bin"))).toEqual({
      problem: expect.stringContaining("no *.safetensors"),
    });
  });
});
