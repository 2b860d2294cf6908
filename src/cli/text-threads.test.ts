/** @file Threads for texts: what a tokenizer and a template do, and the end of what does not end. */
import { describe, expect, it, vi } from "vitest";
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

  it("do not do what nobody waits for any more, and refuse what is too much to wait", async () => {
    await using texts = start({ maxWaiting: 2, maxWaitingCharacters: 100 });
    const left = new AbortController();
    const long = "x".repeat(200);
    // No thread is ready yet, so that all of them wait.
    const asked = [
      texts.encode("first", {}, left.signal),
      texts.encode(long, {}),
      texts.encode("second", {}, left.signal),
      texts.encode("third", {}),
    ];
    left.abort(new Error("the client has gone"));
    // Nothing waits now, so that even a long text may.
    const alone = texts.encode(long, {}, new AbortController().signal);
    const gone = { status: "rejected", reason: { message: "the client has gone" } };
    const busy = { status: "rejected", reason: { code: "unavailable", detail: { reason: "queue" } } };
    expect(await Promise.allSettled(asked)).toMatchObject([gone, busy, gone, busy]);
    await expect(texts.encode("x", {}, left.signal)).rejects.toThrow("the client has gone");
    expect(await alone).toEqual((await loadTokenizer(source)).encode(long));
  });

  it("end when they are idle, but for one of them", async () => {
    vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
    try {
      await using texts = start();
      expect(await texts.encode("a", {})).toHaveLength(1);
      const work = [texts.encode("a", {}), texts.encode("b", {})];
      vi.advanceTimersByTime(100);
      await Promise.all(work);
      while (texts.numReady < 2) await new Promise(setImmediate);
      vi.advanceTimersByTime(60_000);
      expect(texts.numReady).toBe(1);
      vi.advanceTimersByTime(600_000);
      expect(texts.numReady).toBe(1);
      expect(await texts.encode("a", {})).toHaveLength(1);
    } finally {
      vi.useRealTimers();
    }
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
