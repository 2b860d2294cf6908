/** @file The conversation of `turboquant chat`, over a backend whose tokens are hashes. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import "../../node/install.ts";
import { loadFake } from "../../../test/support/fake-ops.ts";
import type { LLM } from "../../engine/llm.ts";
import { Conversation } from "./conversation.ts";

const OPTIONS = { temperature: 0, ignoreEos: true, maxNewTokens: 12 } as const;

let llm: LLM;
beforeAll(async () => {
  llm = (await loadFake()).llm;
});
afterAll(() => llm.dispose());

async function say(conversation: Conversation, text: string, options: object = OPTIONS): Promise<string> {
  let answer = "";
  for await (const chunk of conversation.answer(text, { ...OPTIONS, ...options })) answer += chunk.text;
  return answer;
}

describe("Conversation", () => {
  it("a turn reads what is new alone, and answers as if all had been read at once", async () => {
    const conversation = new Conversation(llm, "Be brief.");
    const first = await say(conversation, "Hello");
    const { length } = conversation.session.tokens;
    let cached = 0;
    let second = "";
    for await (const chunk of conversation.answer("And then?", OPTIONS)) {
      second += chunk.text;
      cached = chunk.usage?.cachedTokens ?? cached;
    }
    // The answer's text may be other tokens than those that were drawn.
    expect(cached).toBeGreaterThanOrEqual(length - OPTIONS.maxNewTokens);
    const whole = llm.createSession();
    const messages = [
      { role: "system", content: "Be brief." },
      { role: "user", content: "Hello" },
      { role: "assistant", content: first },
      { role: "user", content: "And then?" },
    ];
    let expected = "";
    for await (const { text } of whole.chat(messages, OPTIONS)) expected += text;
    expect(second).toBe(expected);
    whole.release();
    conversation.release();
  });

  it("a turn that is answered again takes the place of the old one, and stays where no answer comes about", async () => {
    const conversation = new Conversation(llm, undefined);
    const first = await say(conversation, "Hello");
    let second = "";
    for await (const { text } of conversation.answerAgain({ ...OPTIONS, temperature: 1, seed: 3 })) second += text;
    expect(second).not.toBe(first);
    const after = [
      { role: "user", content: "Hello" },
      { role: "assistant", content: second },
    ];
    expect(conversation.messages).toEqual(after);
    const failing = conversation.answerAgain({ ...OPTIONS, temperature: -1 });
    await expect(failing.next()).rejects.toThrow("temperature");
    expect(conversation.messages).toEqual(after);
    await expect(conversation.answerAgain({ ...OPTIONS, signal: AbortSignal.abort() }).next()).rejects.toThrow(
      "aborted",
    );
    expect(conversation.messages).toEqual(after);
    conversation.release();
  });

  it("an answer that is stopped early is continued with the part that is there", async () => {
    const conversation = new Conversation(llm, undefined);
    let part = "";
    for await (const { text } of conversation.answer("Hello", OPTIONS)) {
      part += text;
      if (part.length > 8) break;
    }
    const next = await say(conversation, "Go on");
    const whole = llm.createSession();
    const messages = [
      { role: "user", content: "Hello" },
      { role: "assistant", content: part },
      { role: "user", content: "Go on" },
    ];
    let expected = "";
    for await (const { text } of whole.chat(messages, OPTIONS)) expected += text;
    expect(next).toBe(expected);
    whole.release();
    conversation.release();
  });

  it("a turn without an answer is dropped, so that it can be asked again", async () => {
    const conversation = new Conversation(llm, undefined);
    const aborted = AbortSignal.abort(new Error("stopped"));
    await expect(say(conversation, "Hello", { signal: aborted })).rejects.toThrow("stopped");
    const fresh = new Conversation(llm, undefined);
    expect(await say(conversation, "Hello")).toBe(await say(fresh, "Hello"));
    for (const each of [conversation, fresh]) each.release();
  });

  it("reset forgets the turns and keeps the system prompt", async () => {
    const conversation = new Conversation(llm, "Be brief.");
    const first = await say(conversation, "Hello");
    await say(conversation, "And then?");
    conversation.reset();
    expect(conversation.session.tokens).toHaveLength(0);
    expect(await say(conversation, "Hello")).toBe(first);
    conversation.release();
  });

  it("a session that was saved goes on after its last answer, as the template has it", async () => {
    const textOf = ({ session }: Conversation): string => llm.tokenizer.decode([...session.tokens]);
    const conversation = new Conversation(llm, undefined);
    await say(conversation, "Hello");
    const restored = llm.restore(await conversation.session.save());
    const other = new Conversation(llm, undefined);
    other.adopt(restored);
    await say(conversation, "And then?");
    await say(other, "And then?");
    const [before, after] = textOf(conversation).split("And then?");
    const [ownBefore, ownAfter] = textOf(other).split("And then?");
    expect(ownBefore).toBe(before);
    // What comes before the answer.
    const opening = ownAfter!.split(" w")[0]!;
    expect(opening).not.toBe("");
    expect(after!.startsWith(opening)).toBe(true);
    for (const each of [conversation, other]) each.release();
    expect(llm.cache.numBytes).toBe(0);
  });
});
