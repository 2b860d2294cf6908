import { expect, it } from "vitest";
import { readText } from "./file-source.ts";
import { readJson } from "./json-file.ts";
import { MadeFiles } from "./made-files.ts";

it("content goes to readers of JSON as it is, and to others as text", async () => {
  const config = { model_type: "llama", list: [1, null] };
  const files = new MadeFiles({ "config.json": () => config }, "m.gguf");
  expect(await readJson(files, "config.json")).toBe(config);
  expect(await readText(files, "config.json")).toBe('{"model_type":"llama","list":[1,null]}');
  await expect(readJson(files, "tokenizer.json")).rejects.toThrow("m.gguf/tokenizer.json: not found");
});
