/** @file Threads for texts: what a tokenizer and a template do, and the end of what does not end. */
import { describe, expect, it } from "vitest";
import { byteTokenizer, FAKE_FIRST_WORD } from "../../test/support/fake-checkpoint.ts";
import { folderAsGguf } from "../../test/support/gguf-model.ts";
import { sourceOf } from "../../test/support/random-gguf.ts";
import { MemorySource } from "../formats/memory-source.ts";
import { openCheckpoint } from "../formats/open-checkpoint.ts";
import { loadTokenizer } from "../tokenizer/tokenizer.ts";
import { readTokenizerFiles } from "../tokenizer/tokenizer-files.ts";
import { TextThreads, type TextThreadsOptions } from "./text-threads.ts";

const TEMPLATE = `{% for m in messages %}{% if m.content == "forever" %}{% for i in range(3000) %}{% for j in range(3000) %}{% endfor %}{% endfor %}
{% elif m.content == "much" %}{% set ns = namespace(all=[]) %}{% for i in range(90) %}{% set ns.all = ns.all + [range(100000) | list] %}{% endfor %}
{% elif m.content == "wrong" %}{{ raise_exception("not this") }}{% else %}[{{ m.content }}]{% endif %}{% endfor %}`;

const source = new MemorySource(
  { "tokenizer.json": byteTokenizer(FAKE_FIRST_WORD), "chat_template.jinja": TEMPLATE },
  "memory",
);
const start = (options: Partial<TextThreadsOptions> = {}): TextThreads =>
  new TextThreads({ files: () => readTokenizerFiles(source), ...options });
const said = (content: string) => [{ role: "user", content }];

describe("threads for texts", () => {
  it("answer as the tokenizer does, with its errors", async () => {
    await using texts = start();
    const tokenizer = await loadTokenizer(source);
    const text = "Once upon a time 😀";
    expect(await texts.encode(text, {})).toEqual(tokenizer.encode(text));
    expect(await texts.render(said("hello"), {})).toBe("[hello]");
    await expect(texts.render(said("wrong"), {})).rejects.toMatchObject({
      code: "invalid_argument",
      message: expect.stringContaining("not this"),
    });
  });

  it("encode with the vocabulary of a GGUF file, which never was text", async () => {
    const model = await folderAsGguf(new URL("../../models/qwen3-1m", import.meta.url).pathname);
    const gguf = (await openCheckpoint(sourceOf(model))).files;
    await using texts = new TextThreads({ files: () => readTokenizerFiles(gguf) });
    const text = "Once upon a time, <|im_start|>naïve 😀";
    expect(await texts.encode(text, {})).toEqual((await loadTokenizer(gguf)).encode(text));
    expect(await texts.render(said("hello"), {})).toContain("hello");
  });

  it("end what takes too long, for its own request alone", async () => {
    await using texts = start({ limitMs: 400 });
    expect(await texts.render(said("hello"), {})).toBe("[hello]");
    const [forever, ...others] = await Promise.allSettled([
      texts.render(said("forever"), {}),
      ...["a", "b", "c"].map((text) => texts.render(said(text), {})),
    ]);
    expect(forever).toMatchObject({ status: "rejected", reason: { status: 400, code: "limit" } });
    expect(others).toEqual(["[a]", "[b]", "[c]"].map((value) => ({ status: "fulfilled", value })));
  });

  it("end what takes too much memory, for its own request alone", async () => {
    await using texts = start({ limitMegabytes: 40 });
    const [much, other] = await Promise.allSettled([texts.render(said("much"), {}), texts.render(said("hello"), {})]);
    expect(much).toMatchObject({ status: "rejected", reason: { status: 400, code: "limit" } });
    expect(other).toEqual({ status: "fulfilled", value: "[hello]" });
  });

  it("say why none can be started", async () => {
    await using texts = new TextThreads({
      files: async () => ({ name: "memory", bytes: { "tokenizer.json": new TextEncoder().encode("[]") } }),
    });
    await expect(texts.encode("x", {})).rejects.toThrow("expected a JSON object");
    await using missing = new TextThreads({ files: () => Promise.reject(new Error("the disk is gone")) });
    await expect(missing.encode("x", {})).rejects.toThrow("the disk is gone");
  });
});
