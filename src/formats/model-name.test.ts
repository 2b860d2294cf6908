import { describe, expect, it } from "vitest";
import { ggufStem, nameOfPlace, nameOfRef, saidName } from "./model-name.ts";

describe("the name that a model is shown by", () => {
  it("is what the file says, on one line, where that says something", () => {
    expect(saidName("SmolLM2 135M Instruct")).toBe("SmolLM2 135M Instruct");
    expect(saidName("  Llama\u001b[31m 3\n8B\u202e ")).toBe("Llama [31m 3 8B");
    expect(saidName("meta-llama/Llama-3.2-1B")).toBe("meta-llama/Llama-3.2-1B");
    const nothing = ["", " \t", "model", "Model", "models", "hf", "checkpoint-1200", "ggml-model", "x".repeat(121)];
    const hashes = ["7ae557604adf67be50417f59c2c2f167def9a775", "0".repeat(64)];
    const paths = ["/data/llama", "./out", "../llama", "~/llama", "C:\\models\\llama", "d:/llama", "models\\llama"];
    for (const name of [...nothing, ...hashes, ...paths]) expect([name, saidName(name)]).toEqual([name, null]);
  });

  it.each([
    ["/home/me/Qwen3-0.6B", "Qwen3-0.6B"],
    ["/home/me/Qwen3-0.6B/", "Qwen3-0.6B"],
    ["./models/./m", "m"],
    ["C:\\models\\m\\", "m"],
    ["/c/hub/models--Qwen--Qwen3-0.6B/snapshots/c1899de289a04d12100db370d81485cdf75e47ca", "Qwen/Qwen3-0.6B"],
    ["/c/models--a--b--c/snapshots/main/", "a/b--c"],
    ["/m/SmolLM2.Q4_1.gguf", "SmolLM2.Q4_1"],
    ["/m/Big-Q8_0-00001-of-00003.gguf", "Big-Q8_0"],
    ["/m/Qwen3-8B/config.json", "Qwen3-8B"],
    ["config.json", "config"],
    ["/m/mine.json", "mine"],
    ["https://host.org/a/My%20Model/?x=1", "My Model"],
    ["https://host.org/a/m.Q4_0.gguf?download=true#top", "m.Q4_0"],
    ["https://hub.org/Qwen/Qwen3-0.6B/resolve/main/", "Qwen/Qwen3-0.6B"],
    ["https://host.org/%", "%"],
    ["https://host.org", "host.org"],
    ["/", "/"],
    ["checkpoint", "checkpoint"],
  ])("%s is %s", (place, name) => {
    expect(nameOfPlace(place)).toBe(name);
  });

  it.each([
    ["qwen3-3m", "qwen3-3m"],
    ["Qwen/Qwen3-0.6B", "Qwen/Qwen3-0.6B"],
    ["Qwen/Qwen3-0.6B@main", "Qwen/Qwen3-0.6B@main"],
    ["./m/Q", "Q"],
    ["/m/Q", "Q"],
    ["a/b/c", "c"],
    ["sub/m.gguf", "m"],
    ["~/m", "m"],
  ])("named on a command line, %s is %s", (ref, name) => {
    expect(nameOfRef(ref)).toBe(name);
  });

  it("of a GGUF file has no ending and no number of a part", () => {
    expect(ggufStem("m-00002-of-00005.gguf")).toBe("m");
    expect(ggufStem("sub/m-1-of-2.gguf")).toBe("m-1-of-2");
  });
});
