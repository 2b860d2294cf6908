/** @file The files that a name means, in repositories as people make them. */
import { describe, expect, it } from "vitest";
import { defaultQuant, quantOfPath } from "../../formats/gguf/quant-names.ts";
import { parseHubId } from "../../formats/hub-id.ts";
import { chooseFiles } from "./choose-files.ts";

async function choose(ref: string, paths: readonly string[], index = "{}") {
  const files = paths.map((path) => ({ path, size: 1 }));
  const { files: chosen, ...rest } = await chooseFiles(parseHubId(ref)!, files, async () => index);
  return { ...rest, files: chosen.map(({ path }) => path) };
}

const BARTOWSKI = ["Q8_0", "Q6_K_L", "Q4_K_M", "Q4_0", "IQ3_M", "f16"].map(
  (quant) => `Llama-3.2-1B-Instruct-${quant}.gguf`,
);
const UNSLOTH = [
  "BF16/Big-BF16-00001-of-00002.gguf",
  "BF16/Big-BF16-00002-of-00002.gguf",
  "Big-Q4_K_M.gguf",
  "Big-UD-Q4_K_XL.gguf",
  "UD-Q2_K_XL/Big-UD-Q2_K_XL-00001-of-00002.gguf",
  "UD-Q2_K_XL/Big-UD-Q2_K_XL-00002-of-00002.gguf",
  "imatrix_unsloth.gguf",
  "mmproj-BF16.gguf",
];

describe("GGUF repositories", () => {
  it.each([
    ["org/name", BARTOWSKI, "Q4_K_M", ["Llama-3.2-1B-Instruct-Q4_K_M.gguf"]],
    ["org/name:q4_0", BARTOWSKI, "Q4_0", ["Llama-3.2-1B-Instruct-Q4_0.gguf"]],
    ["org/name:FP16", BARTOWSKI, "F16", ["Llama-3.2-1B-Instruct-f16.gguf"]],
    ["org/name:Q6_K_L", BARTOWSKI, "Q6_K_L", ["Llama-3.2-1B-Instruct-Q6_K_L.gguf"]],
    ["org/name", UNSLOTH, "Q4_K_M", ["Big-Q4_K_M.gguf"]],
    ["org/name:bf16", UNSLOTH, "BF16", UNSLOTH.slice(0, 2)],
    ["org/name:Q4_K_XL", UNSLOTH, "UD-Q4_K_XL", ["Big-UD-Q4_K_XL.gguf"]],
    ["org/name:UD-Q2_K_XL", UNSLOTH, "UD-Q2_K_XL", UNSLOTH.slice(4, 6)],
    ["org/name:BF16/Big-BF16-00002-of-00002.gguf", UNSLOTH, "BF16", UNSLOTH.slice(0, 2)],
    ["org/name", ["only.gguf", ".gitattributes"], null, ["only.gguf"]],
    ["org/name", ["q5_0/model.gguf", "q8_0/model.gguf"], "Q5_0", ["q5_0/model.gguf"]],
    ["org/name", ["a-IQ2_XXS.gguf", "a-Q8_0.gguf", "README.md"], "Q8_0", ["README.md", "a-Q8_0.gguf"]],
    ["org/name:Q8_0", ["a-Q8_0.gguf", "model.safetensors", "config.json"], "Q8_0", ["a-Q8_0.gguf"]],
    [
      "org/name:Q8_0",
      ["a-Q8_0.gguf", "a-Q8_0.kv_calibration.safetensors", "b-Q4_0.kv_calibration.safetensors"],
      "Q8_0",
      ["a-Q8_0.gguf", "a-Q8_0.kv_calibration.safetensors"],
    ],
  ])("%s of %j", async (ref, paths, quant, files) => {
    expect(await choose(ref, paths)).toEqual({
      kind: "gguf",
      quant,
      weights: files.find((f) => f.endsWith("gguf")),
      files,
    });
  });

  it("one error says what there is", async () => {
    await expect(choose("org/name:Q5_K_M", UNSLOTH)).rejects.toThrow(
      "hub: org/name has no Q5_K_M; it has UD-Q2_K_XL, Q4_K_M, UD-Q4_K_XL, BF16; name one of these after the colon",
    );
    await expect(choose("org/name", ["a-Q4_0.gguf", "b-Q4_0.gguf"])).rejects.toThrow(
      "hub: org/name means 2 models: a-Q4_0.gguf, b-Q4_0.gguf; name one, such as org/name:a-Q4_0.gguf",
    );
    await expect(choose("org/name", BARTOWSKI.slice(0, 1).concat("x.gguf", "y.gguf"))).resolves.toMatchObject({
      quant: "Q8_0",
    });
    await expect(choose("org/name:no.gguf", BARTOWSKI)).rejects.toThrow(/org\/name has no no\.gguf; it has IQ3_M, /);
    await expect(choose("org/name:BF16", UNSLOTH.slice(1))).rejects.toMatchObject({
      code: "invalid_file",
      message: expect.stringMatching(/parts of BF16\/Big-BF16-00002-of-00002\.gguf are missing/),
    });
    await expect(choose("org/name:IQ3_M", BARTOWSKI)).rejects.toMatchObject({
      code: "unsupported",
      message: "hub: org/name:IQ3_M: IQ3_M is of a type that is not read; take Q4_0, Q4_K_M, Q6_K_L, Q8_0, F16",
    });
    await expect(choose("org/name", ["mmproj-F16.gguf"])).rejects.toThrow(/parts that go with a model/);
  });
});

describe("safetensors repositories", () => {
  const SIDES = ["config.json", "tokenizer.json", "special_tokens_map.json"];
  const index = JSON.stringify({
    weight_map: { a: "model-00001-of-00002.safetensors", b: "model-00002-of-00002.safetensors" },
  });
  const SHARDS = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];

  it("config, tokenizer and the weights that the index names, not other forms of them", async () => {
    const other = ["consolidated.safetensors", "onnx/model.onnx", "original/tokenizer.model", "pytorch_model.bin"];
    const single = await choose("org/name", [...SIDES, "model.safetensors", ...other, "name-Q4_K_M.gguf"]);
    expect(single).toEqual({
      kind: "safetensors",
      quant: null,
      weights: null,
      files: [...SIDES, "model.safetensors"].sort(),
    });
    const sharded = await choose("org/name", [...SIDES, ...SHARDS, "model.safetensors.index.json", ...other], index);
    expect(sharded.files).toEqual([...SIDES, ...SHARDS, "model.safetensors.index.json"].sort());
  });

  it("what is missing or cannot be read is named", async () => {
    const incomplete = choose("org/name", ["config.json", SHARDS[0]!, "model.safetensors.index.json"], index);
    await expect(incomplete).rejects.toThrow(/has no model-00002-of-00002\.safetensors; its upload is not complete/);
    await expect(choose("org/name", ["model.safetensors"])).rejects.toThrow(/has no config\.json/);
    const hostile = choose("org/name", ["model.safetensors.index.json"], '{"weight_map":{"a":"../../x"}}');
    await expect(hostile).rejects.toThrow(/expected a weight_map that names files/);
    await expect(choose("org/name:Q4_K_M", ["model.safetensors"])).rejects.toThrow(
      /no GGUF files but safetensors; name it without/,
    );
    await expect(choose("org/name", ["adapter_model.safetensors"])).rejects.toThrow(/it is an adapter; merge it/);
    await expect(choose("org/name", ["pytorch_model.bin", "a.onnx"])).rejects.toMatchObject({
      code: "unsupported",
      message: expect.stringMatching(/it has \.bin, \.onnx; take a repository with safetensors or GGUF files/),
    });
  });
});

it("quantizations in file names", () => {
  const names = {
    "qwen2.5-0.5b-instruct-q4_k_m.gguf": "Q4_K_M",
    "tinyllama-1.1b-chat-v1.0.Q5_K_S.gguf": "Q5_K_S",
    "gpt-oss-20b-mxfp4.gguf": "MXFP4",
    "model-fp16.gguf": "F16",
    "Q2_K/model-00001-of-00003.gguf": "Q2_K",
    "gemma-3-1b-it-qat-q4_0.gguf": "Q4_0",
    "ggml-model-i2_s.gguf": null,
  };
  for (const [path, quant] of Object.entries(names)) expect(quantOfPath(path), path).toBe(quant);
});

it("the default is Q4_K_M, else the nearest in bits that is read", () => {
  expect(defaultQuant(["Q8_0", "UD-Q4_K_XL", "Q4_K_M"])).toBe("Q4_K_M");
  expect(defaultQuant(["Q8_0", "Q2_K", "Q4_K_S", "BF16"])).toBe("Q4_K_S");
  expect(defaultQuant(["Q8_0", "Q2_K", "BF16"])).toBe("Q2_K");
  expect(defaultQuant(["IQ3_XXS", "BF16"])).toBe("BF16");
  expect(defaultQuant(["IQ1_S", "IQ2_XXS"])).toBe("IQ2_XXS");
  expect(defaultQuant([])).toBeUndefined();
});
