/** @file The official `openai` client against a real server. */
import OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startServer, type TestServer, until } from "../../test/support/server.ts";
import { collect } from "../engine/generation.ts";

const FRANCE = [{ role: "user" as const, content: "What is the capital of France?" }];

let server: TestServer;
let client: OpenAI;
beforeAll(async () => {
  server = await startServer({ modelNames: ["qwen3-3m", "gpt-small"] });
  client = server.client;
});
afterAll(async () => {
  await server.stop();
});

describe("chat completions", () => {
  it("answers, with usage", async () => {
    const answer = await client.chat.completions.create({ model: "qwen3-3m", messages: FRANCE, temperature: 0 });
    const expected = await collect(server.llm.chat(FRANCE, { temperature: 0, maxNewTokens: 64 }));
    expect(answer.choices).toHaveLength(1);
    expect(answer.choices[0]).toMatchObject({
      index: 0,
      finish_reason: "stop",
      message: { role: "assistant", content: expected.text },
    });
    expect(expected.text).toContain("Paris");
    expect(answer.object).toBe("chat.completion");
    expect(answer.model).toBe("qwen3-3m");
    expect(answer.usage).toMatchObject({
      prompt_tokens: expected.usage.promptTokens,
      completion_tokens: expected.usage.completionTokens,
      total_tokens: expected.usage.promptTokens + expected.usage.completionTokens,
    });
    expect(answer).toHaveProperty("timings.predicted_n", expected.usage.completionTokens);
  });

  it("streams the same text, the role first, usage last and only when asked", async () => {
    const request = { model: "qwen3-3m", messages: FRANCE, temperature: 0, stream: true } as const;
    const whole = await client.chat.completions.create({ ...request, stream: false });
    for (const includeUsage of [true, false]) {
      const stream = await client.chat.completions.create({
        ...request,
        ...(includeUsage && { stream_options: { include_usage: true } }),
      });
      const chunks = [];
      for await (const chunk of stream) chunks.push(chunk);
      expect(chunks[0]!.choices[0]!.delta).toEqual({ role: "assistant", content: "" });
      expect(chunks.map((chunk) => chunk.choices[0]?.delta.content ?? "").join("")).toBe(
        whole.choices[0]!.message.content,
      );
      expect(chunks.flatMap((chunk) => chunk.choices[0]?.finish_reason ?? [])).toEqual(["stop"]);
      expect(new Set(chunks.map(({ id }) => id)).size).toBe(1);
      const last = chunks.at(-1)!;
      if (includeUsage) {
        expect(last.choices).toEqual([]);
        expect(last.usage).toMatchObject({ completion_tokens: whole.usage!.completion_tokens });
      } else expect(chunks.every((chunk) => !chunk.usage)).toBe(true);
    }
  });

  it("equal seeds give equal answers, others others; n counts seeds up", async () => {
    const ask = async (seed: number, n = 1): Promise<(string | null)[]> => {
      const answer = await client.chat.completions.create({
        model: "gpt-small",
        messages: [{ role: "user", content: "Tell me a story." }],
        temperature: 1,
        max_tokens: 12,
        seed,
        n,
      });
      expect(answer.model).toBe("gpt-small");
      expect(answer.usage!.completion_tokens).toBeLessThanOrEqual(12 * n);
      return answer.choices.map(({ message }) => message.content);
    };
    const [one] = await ask(1);
    expect(await ask(1)).toEqual([one]);
    expect(await ask(2)).not.toEqual([one]);
    const three = await ask(1, 3);
    expect(three).toEqual([one, (await ask(2))[0], (await ask(3))[0]]);
  });

  it("n streams are mixed and told apart by their index", async () => {
    const request = { model: "qwen3-3m", messages: FRANCE, temperature: 1, max_tokens: 10, seed: 4, n: 3 } as const;
    const whole = await client.chat.completions.create(request);
    const texts = ["", "", ""];
    for await (const { choices } of await client.chat.completions.create({ ...request, stream: true })) {
      for (const { index, delta } of choices) texts[index] += delta.content ?? "";
    }
    expect(texts).toEqual(whole.choices.map(({ message }) => message.content));
  });

  it("stops before a stop text, streamed or not", async () => {
    const request = { model: "qwen3-3m", messages: FRANCE, temperature: 0, stop: [" France", "zzz"] };
    const answer = await client.chat.completions.create(request);
    expect(answer.choices[0]).toMatchObject({ finish_reason: "stop", message: { content: "The capital of" } });
    let text = "";
    for await (const { choices } of await client.chat.completions.create({ ...request, stream: true })) {
      text += choices[0]?.delta.content ?? "";
    }
    expect(text).toBe("The capital of");
  });

  it("max_tokens and max_completion_tokens end with `length`", async () => {
    for (const limit of [{ max_tokens: 3 }, { max_completion_tokens: 3 }]) {
      const answer = await client.chat.completions.create({
        model: "qwen3-3m",
        messages: FRANCE,
        temperature: 0,
        ...limit,
      });
      expect(answer.choices[0]!.finish_reason).toBe("length");
      expect(answer.usage!.completion_tokens).toBe(3);
    }
  });

  it("log-probabilities: one entry a token, the likeliest first", async () => {
    const request = { model: "qwen3-3m", messages: FRANCE, temperature: 0, logprobs: true, top_logprobs: 3 } as const;
    const answer = await client.chat.completions.create(request);
    const content = answer.choices[0]!.logprobs!.content!;
    expect(content).toHaveLength(answer.usage!.completion_tokens);
    for (const { token, logprob, top_logprobs, bytes } of content) {
      expect(top_logprobs).toHaveLength(3);
      expect(top_logprobs[0]).toEqual({ token, logprob, bytes });
      expect(logprob).toBeLessThanOrEqual(0);
    }
    expect(
      content
        .slice(0, -1)
        .map(({ token }) => token)
        .join(""),
    ).toBe(answer.choices[0]!.message.content);
    const streamed: string[] = [];
    for await (const { choices } of await client.chat.completions.create({ ...request, stream: true })) {
      for (const entry of choices[0]?.logprobs?.content ?? []) streamed.push(entry.token);
    }
    expect(streamed).toEqual(content.map(({ token }) => token));
  });

  it("logit_bias bans and forces tokens", async () => {
    const { llm } = server;
    const [first] = llm.tokenizer.encode("The");
    const banned = await client.chat.completions.create({
      model: "qwen3-3m",
      messages: FRANCE,
      temperature: 0,
      max_tokens: 1,
      logit_bias: { [first!]: -100 },
    });
    expect(banned.choices[0]!.message.content).not.toBe("The");
    const forced = await client.chat.completions.create({
      model: "qwen3-3m",
      messages: FRANCE,
      temperature: 1,
      max_tokens: 4,
      logit_bias: { [first!]: 100 },
    });
    expect(forced.choices[0]!.message.content).toBe("TheTheTheThe");
  });

  it("the next turn of a conversation finds the last one in the cache", async () => {
    const messages: { role: "user" | "assistant"; content: string }[] = [
      { role: "user", content: `${"The sun was low and the road was long. ".repeat(20)}What is the capital of Spain?` },
    ];
    const first = await client.chat.completions.create({ model: "qwen3-3m", messages, temperature: 0 });
    expect(first.usage!.prompt_tokens_details!.cached_tokens).toBe(0);
    messages.push({ role: "assistant", content: first.choices[0]!.message.content! });
    messages.push({ role: "user", content: "And of Italy?" });
    const second = await client.chat.completions.create({ model: "qwen3-3m", messages, temperature: 0 });
    const before = first.usage!.prompt_tokens + first.usage!.completion_tokens;
    expect(second.usage!.prompt_tokens_details!.cached_tokens).toBe(before - 1);
    const uncached = await client.chat.completions.create({
      model: "qwen3-3m",
      messages,
      temperature: 0,
      cache_prompt: false,
    } as never);
    expect(uncached.usage!.prompt_tokens_details!.cached_tokens).toBe(0);
    expect(second.choices).toEqual(uncached.choices);
  });

  it("an aborted stream ends at the server as well", async () => {
    const stream = await client.chat.completions.create({
      model: "qwen3-3m",
      messages: FRANCE,
      stream: true,
      max_tokens: 4000,
      ignore_eos: true,
    } as never);
    let pieces = 0;
    for await (const _ of stream as unknown as AsyncIterable<unknown>) if (++pieces === 5) break;
    await until(() => server.scheduler.stats.running === 0, "the request ends");
    const controller = new AbortController();
    const whole = client.chat.completions.create(
      { model: "qwen3-3m", messages: FRANCE, max_tokens: 4000, ignore_eos: true } as never,
      { signal: controller.signal },
    );
    const failure = whole.then(
      () => "answered",
      (error: unknown) => (error as Error).name,
    );
    await until(() => server.scheduler.stats.running === 1, "the request runs");
    controller.abort();
    expect(await failure).not.toBe("answered");
    await until(() => server.scheduler.stats.running === 0, "the request ends");
    const statuses = (): unknown[] => server.log.slice(-2).map(({ fields }) => (fields as { status?: number }).status);
    await until(() => statuses().every((status) => status === 499), "both are logged as clients that left");
  });

  it("errors are those of the client's classes", async () => {
    await expect(client.chat.completions.create({ model: "gpt-9", messages: FRANCE })).rejects.toBeInstanceOf(
      OpenAI.NotFoundError,
    );
    await expect(client.chat.completions.create({ model: "qwen3-3m", messages: [] })).rejects.toBeInstanceOf(
      OpenAI.BadRequestError,
    );
    const error = await client.chat.completions
      .create({ model: "qwen3-3m", messages: FRANCE, temperature: -1 })
      .catch((e: unknown) => e as InstanceType<typeof OpenAI.BadRequestError>);
    expect(error).toMatchObject({ status: 400, param: "temperature", type: "invalid_request_error" });
  });
});

describe("completions", () => {
  const prompt = "Once upon a time there was a little girl";

  it("continues texts and token ids, several at once, in the order of the prompts", async () => {
    const ask = (own: OpenAI.CompletionCreateParams["prompt"], n = 1) =>
      client.completions.create({ model: "qwen3-3m", prompt: own, temperature: 0, max_tokens: 8, n });
    const expected = await collect(server.llm.generate(prompt, { temperature: 0, maxNewTokens: 8 }));
    const [a, b] = ["The king", "In the morning"];
    const single = [(await ask(a)).choices[0]!.text, (await ask(b)).choices[0]!.text];
    expect((await ask(prompt)).choices[0]!.text).toBe(expected.text);
    expect((await ask(server.llm.tokenizer.encode(prompt))).choices[0]!.text).toBe(expected.text);
    const both = await ask([a, b], 2);
    expect(both.choices.map(({ index, text }) => [index, text])).toEqual([
      [0, single[0]],
      [1, single[0]],
      [2, single[1]],
      [3, single[1]],
    ]);
    const prompts = [a, b].map((text) => server.llm.tokenizer.encode(text));
    expect(both.usage).toMatchObject({ prompt_tokens: prompts[0]!.length + prompts[1]!.length, completion_tokens: 32 });
    expect((await ask(prompts)).choices.map(({ text }) => text)).toEqual(single);
  });

  it("echo and logprobs score a text as evaluation harnesses ask for it", async () => {
    const answer = await client.completions.create({
      model: "qwen3-3m",
      prompt: [server.llm.tokenizer.encode(prompt)],
      temperature: 0,
      max_tokens: 1,
      echo: true,
      logprobs: 1,
      seed: 1234,
    });
    const { text, logprobs } = answer.choices[0]!;
    const ids = server.llm.tokenizer.encode(prompt);
    expect(text.startsWith(prompt)).toBe(true);
    expect(logprobs!.tokens).toHaveLength(ids.length + 1);
    expect(logprobs!.tokens!.join("")).toBe(text);
    expect(logprobs!.token_logprobs![0]).toBeNull();
    logprobs!.text_offset!.forEach((offset, i) => {
      expect(text.startsWith(logprobs!.tokens![i]!, offset)).toBe(true);
    });
    // The likeliest token is always among the reported ones.
    logprobs!.token_logprobs!.slice(1).forEach((logprob, i) => {
      const top = logprobs!.top_logprobs![i + 1]!;
      expect(Math.max(...Object.values(top))).toBeGreaterThanOrEqual(logprob!);
    });
    const scored = await client.completions.create({
      model: "qwen3-3m",
      prompt,
      max_tokens: 0,
      echo: true,
      logprobs: 0,
    });
    expect(scored.choices[0]!.text).toBe(prompt);
    expect(scored.choices[0]!.logprobs!.token_logprobs).toEqual(logprobs!.token_logprobs!.slice(0, -1));
    expect(scored.usage!.completion_tokens).toBe(0);
  });

  it("streams what it also says at once, echo and log-probabilities included", async () => {
    const request = { model: "qwen3-3m", prompt, temperature: 0.7, seed: 3, max_tokens: 6, echo: true, logprobs: 2 };
    const whole = await client.completions.create(request);
    let text = "";
    const tokens: string[] = [];
    for await (const { choices } of await client.completions.create({ ...request, stream: true })) {
      text += choices[0]?.text ?? "";
      tokens.push(...(choices[0]?.logprobs?.tokens ?? []));
    }
    expect(text).toBe(whole.choices[0]!.text);
    expect(tokens).toEqual(whole.choices[0]!.logprobs!.tokens);
  });
});

describe("the rest", () => {
  it("lists models, tokenizes and back", async () => {
    const models = [];
    for await (const model of client.models.list()) models.push(model.id);
    expect(models).toEqual(["qwen3-3m", "gpt-small"]);
    expect((await client.models.retrieve("gpt-small")).id).toBe("gpt-small");
    await expect(client.models.retrieve("other")).rejects.toBeInstanceOf(OpenAI.NotFoundError);
    const { json } = await server.post("/tokenize", { content: "The old mill" });
    expect(json.tokens).toEqual(server.llm.tokenizer.encode("The old mill", { addSpecialTokens: false }));
    expect((await server.post("/detokenize", { tokens: json.tokens })).json.content).toBe("The old mill");
    const pieces = await server.post("/tokenize", { content: "The old mill", with_pieces: true });
    expect(pieces.json.tokens.map(({ piece }: { piece: string }) => piece).join("")).toBe("The old mill");
    const chat = await server.post("/tokenize", { messages: FRANCE });
    expect(chat.json.tokens).toEqual(await server.llm.encodeChat(FRANCE));
  });

  it("metrics add up with what was asked", async () => {
    const read = async (name: string): Promise<number> => {
      const text = await (await fetch(`${server.url}/metrics`)).text();
      for (const line of text.trim().split("\n")) expect(line).toMatch(/^(# (HELP|TYPE) \S+ .+|\S+(\{.*\})? \S+)$/);
      const match = new RegExp(`^turboquant:${name}(?:\\{[^\\n]*\\})? (\\S+)$`, "m").exec(text);
      return Number(match?.[1] ?? Number.NaN);
    };
    const before = [await read("generation_tokens_total"), await read("time_to_first_token_seconds_count")];
    await client.chat.completions.create({
      model: "qwen3-3m",
      messages: FRANCE,
      max_tokens: 5,
      ignore_eos: true,
    } as never);
    expect(await read("generation_tokens_total")).toBe(before[0]! + 5);
    expect(await read("time_to_first_token_seconds_count")).toBe(before[1]! + 1);
    expect(await read("kv_cache_bytes")).toBe(server.llm.cache.numBytes);
    expect(await read("num_requests_running")).toBe(0);
    expect(await read("prefix_cache_hits_total")).toBeGreaterThan(0);
  });

  it("says that it lives, and no longer when it is draining", async () => {
    expect((await fetch(`${server.url}/health`)).status).toBe(200);
    expect(await (await fetch(`${server.url}/tokenizer_info`)).json()).toEqual({
      ...{ bos_token: null, eos_token: "<|endoftext|>" },
      chat_template: expect.stringContaining("<|im_start|>"),
    });
    expect(await (await fetch(`${server.url}/props`)).json()).toMatchObject({ kv_cache: "k4v4", total_slots: 64 });
  });
});
