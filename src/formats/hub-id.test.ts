import { describe, expect, it } from "vitest";
import { hubName, parseHubId } from "./hub-id.ts";

describe("parseHubId", () => {
  it.each([
    ["org/name", "org/name", "main", null, null],
    ["org/name@v1.0", "org/name", "v1.0", null, null],
    ["org/name:q4_k_m", "org/name", "main", "q4_k_m", null],
    ["org/name:UD-Q4_K_XL", "org/name", "main", "UD-Q4_K_XL", null],
    ["org/name@refs/pr/1:Q8_0", "org/name", "refs/pr/1", "Q8_0", null],
    ["org/name:latest", "org/name", "main", null, null],
    ["org/name:BF16/name-00001-of-00002.gguf", "org/name", "main", null, "BF16/name-00001-of-00002.gguf"],
    ["hf.co/org/name:Q4_K_M", "org/name", "main", "Q4_K_M", null],
    ["hf:org/name", "org/name", "main", null, null],
    ["hf://org/name@dev", "org/name", "dev", null, null],
    ["huggingface.co/org/name", "org/name", "main", null, null],
    ["https://huggingface.co/org/name/", "org/name", "main", null, null],
    ["https://hf.co/org/name?not-for-all-audiences=true", "org/name", "main", null, null],
    ["https://huggingface.co/org/name/tree/dev", "org/name", "dev", null, null],
    ["https://huggingface.co/org/name/tree/main/Q8_0", "org/name", "main", "Q8_0", null],
    ["https://huggingface.co/org/name/resolve/main/a%20b/x.gguf?download=true", "org/name", "main", null, "a b/x.gguf"],
    ["https://huggingface.co/org/name/blob/refs%2Fpr%2F1/x.gguf#readme", "org/name", "refs/pr/1", null, "x.gguf"],
    ["https://huggingface.co/org/name/blob/main/model.safetensors", "org/name", "main", null, null],
    ["https://mirror.example/hub/org/name/resolve/main/x.gguf", "org/name", "main", null, "x.gguf"],
  ])("%s", (ref, repo, revision, quant, file) => {
    expect(parseHubId(ref, "https://mirror.example/hub/")).toEqual({ repo, revision, quant, file });
  });

  it.each([
    "qwen3-3m",
    "./org/name",
    "../org",
    "a/b/c",
    "/org/name",
    "C:/models/x.gguf",
    "org/name:",
    "org/name:a/b",
    "https://example.com/org/name",
    "https://huggingface.co/datasets/org/name",
    "https://huggingface.co/datasets/name",
    "https://huggingface.co/org/name/blob/main/README.md",
    "https://huggingface.co/org/name/blob/main/%",
    "hf:",
    "",
  ])("is none: %s", (ref) => {
    expect(parseHubId(ref)).toBeNull();
  });

  it("has a shortest name", () => {
    for (const name of ["org/name", "org/name@v1", "org/name:Q4_K_M", "org/name@v1:x.gguf"]) {
      expect(hubName(parseHubId(`https://hf.co/${name}`)!)).toBe(name);
    }
  });
});
