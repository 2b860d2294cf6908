/** @file Real tokenizer files and chat templates against other implementations' output. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { DirectorySource } from "../src/node/directory-source.ts";
import { type ChatMessage, ChatTemplate } from "../src/tokenizer/chat-template.ts";
import { loadTokenizer } from "../src/tokenizer/tokenizer.ts";
import { checkpointPath, repoRoot, sharedPath } from "./support/shared.ts";

const absent = (path: string | null) => (path ? "" : " (skipped: reference data not present)");
async function load(directory: string) {
  const source = new DirectorySource(directory);
  const tokenizer = await loadTokenizer(source);
  await source.close();
  return tokenizer;
}

const qwen = sharedPath("data/tokenizers/qwen2.5");
const vectors = sharedPath("data/tokenizers/vectors/ggml-vocab-qwen2.gguf.inp");
describe.skipIf(!qwen || !vectors)(`Qwen2.5's vocab.json and merges.txt${absent(qwen && vectors)}`, () => {
  it("give llama.cpp's test vectors exactly, and the text back", async () => {
    const tokenizer = await load(qwen!);
    const inputs = readFileSync(vectors!, "utf8").split("\n__ggml_vocab_test__\n");
    const outputs = readFileSync(vectors!.replace(/inp$/, "out"), "utf8").split("\n");
    expect(inputs.length).toBe(47);
    for (const [i, input] of inputs.entries()) {
      const ids = tokenizer.encode(input, { addSpecialTokens: false });
      expect(ids.join(" "), `input ${i}: ${JSON.stringify(input.slice(0, 60))}`).toBe(outputs[i]!.trim());
      const stream = tokenizer.createStream();
      expect(ids.map((id) => stream.push(id)).join("") + stream.end()).toBe(input.normalize("NFC"));
    }
  });

  it("know their special tokens and render Qwen2.5's template", async () => {
    const tokenizer = await load(qwen!);
    expect(tokenizer.vocabSize).toBe(151_665);
    expect(tokenizer.encode("<|im_start|>user<|im_end|><tool_call>")).toEqual([151644, 872, 151645, 151657]);
    expect(await tokenizer.applyChatTemplate([{ role: "user", content: "hi" }], { addGenerationPrompt: true })).toBe(
      "<|im_start|>system\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\n<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\n",
    );
  });
});

const novel = sharedPath("data/text/treasure-island.txt");
describe.skipIf(!novel)(`a novel${absent(novel)}`, () => {
  it("encodes and decodes without loss", async () => {
    const text = readFileSync(novel!, "utf8");
    const tokenizer = await load(checkpointPath("qwen3-3m")!);
    const ids = tokenizer.encode(text);
    expect(ids.length).toBe(101_851);
    expect(tokenizer.decode(ids)).toBe(text);
  });
});

for (const model of ["qwen3-1m", "qwen3-3m", "qwen3-9m", "mistral-9m"]) {
  const path = checkpointPath(model);
  describe.skipIf(!path)(`${model}'s tokenizer${absent(path)}`, () => {
    it("gives the ids and texts of golden.json", async () => {
      const tokenizer = await load(path!);
      const golden = JSON.parse(readFileSync(join(path!, "golden.json"), "utf8")) as Record<
        string,
        { prompt: string; ids: number[]; greedy: number[]; greedy_text: string }
      >;
      for (const { prompt, ids, greedy, greedy_text } of Object.values(golden)) {
        expect(tokenizer.encode(prompt, { addSpecialTokens: false })).toEqual(ids);
        expect(tokenizer.decode(greedy)).toBe(greedy_text);
      }
      expect(
        await tokenizer.applyChatTemplate([{ role: "user", content: "What is the capital of France?" }], {
          addGenerationPrompt: true,
        }),
      ).toBe(golden["chat"]!.prompt);
    });
  });
}

describe("the embedded tokenizer", () => {
  it("gives the ids of Python's tokenizers for awkward text, and the text back", async () => {
    const tokenizer = await load(checkpointPath("qwen3-3m")!);
    const file = join(repoRoot, "test/fixtures/tokenizer/qwen3-3m.json");
    const vectors = JSON.parse(readFileSync(file, "utf8")) as { text: string; ids: number[] }[];
    expect(vectors.length).toBe(27);
    for (const { text, ids } of vectors) {
      expect(tokenizer.encode(text, { addSpecialTokens: false }), JSON.stringify(text)).toEqual(ids);
      expect(tokenizer.decode(ids)).toBe(text);
    }
  });
});

describe("Qwen3's chat template renders as Python's jinja2", () => {
  const fixtures = join(repoRoot, "test/fixtures/chat-template");
  const template = ChatTemplate.from(readFileSync(join(fixtures, "qwen3.jinja"), "utf8"), {}, "qwen3")!;
  const cases = JSON.parse(readFileSync(join(fixtures, "expected.json"), "utf8")) as {
    name: string;
    messages: ChatMessage[];
    options: { add_generation_prompt: boolean; tools: object[] | null; enable_thinking?: boolean };
    expected: string;
  }[];
  it("has all cases", () => expect(cases.length).toBe(16));
  it.each(cases)("$name", async ({ messages, options, expected }) => {
    const { add_generation_prompt: addGenerationPrompt, tools, ...variables } = options;
    expect(await template.render(messages, { addGenerationPrompt, ...(tools && { tools }), variables })).toBe(expected);
  });
});
