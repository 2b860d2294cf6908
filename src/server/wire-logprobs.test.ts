/** @file Names, places and bytes of tokens that are parts of characters, and of those named like parts of JavaScript. */
import { expect, it } from "vitest";
import { fakeCheckpoint } from "../../test/support/fake-checkpoint.ts";
import { loadTokenizer, type Tokenizer } from "../tokenizer/tokenizer.ts";
import { chatLogprob, emptyLogprobs, LogprobWriter } from "./wire-logprobs.ts";

it("parts of a character have its place, and bytes that join to it", async () => {
  const tokenizer = await loadTokenizer(fakeCheckpoint());
  const tokens = tokenizer.encode("😀 a", { addSpecialTokens: false });
  expect(tokens).toHaveLength(6);
  const logprobs = emptyLogprobs();
  const writer = new LogprobWriter(tokenizer);
  for (const [i, token] of tokens.entries()) {
    const top = tokens.slice(0, 4).map((one, rank) => ({ token: one, text: "\ufffd", logprob: -rank }));
    writer.push(logprobs, token, i === 0 ? null : -1, top);
  }
  expect(logprobs.text_offset).toEqual([0, 0, 0, 0, 2, 3]);
  expect(logprobs.tokens).toEqual(["bytes:\\xf0", "bytes:\\x9f", "bytes:\\x98", "bytes:\\x80", " ", "a"]);
  expect(Object.keys(logprobs.top_logprobs[1]!)).toHaveLength(4);
  const bytes = tokens.flatMap((token) => chatLogprob(tokenizer, token, { index: 0, text: "" }, 0).bytes);
  expect(Buffer.from(bytes).toString()).toBe("😀 a");
});

it("tokens may be called constructor", () => {
  const names = ["constructor", "__proto__", "toString"];
  const tokenizer = {
    decode: ([id]: number[]) => names[id!],
    createStream: () => ({ push: (id: number) => names[id], end: () => "" }),
  } as unknown as Tokenizer;
  const logprobs = emptyLogprobs();
  const writer = new LogprobWriter(tokenizer);
  for (const token of names.keys()) writer.push(logprobs, token, -token, []);
  expect(JSON.stringify(logprobs.top_logprobs)).toBe('[{"constructor":0},{"__proto__":-1},{"toString":-2}]');
});
