/** @file `return_kv_cache`: bytes by layer and segment as the pages of the answer are, streamed and whole, beside a real f16 cache. */
import { afterAll, beforeAll, expect, it } from "vitest";
import { startServer, type TestServer } from "../../test/support/server.ts";
import { bytesOfSegments, segmentsOf } from "../cache/segments.ts";
import type { WireCache } from "./wire-cache.ts";

const PROMPT = "The ship sailed on through the night. ".repeat(30);
const ASK = { prompt: PROMPT, max_tokens: 150, temperature: 0, ignore_eos: true, return_kv_cache: true };
const CHAT = { messages: [{ role: "user", content: PROMPT }], temperature: 0, max_tokens: 5 };

let server: TestServer;
beforeAll(async () => {
  server = await startServer({
    fake: {},
    load: { kv: "k4v4,window=64" },
    scheduler: { maxRunning: 3 },
  });
});
afterAll(() => server.stop());

interface StreamedChoice {
  readonly finish_reason: string | null;
  readonly kv_cache?: WireCache;
}

async function streamed(path: string, body: object): Promise<StreamedChoice[]> {
  const response = await fetch(server.url + path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ ...body, stream: true }),
  });
  const events = (await response.text()).split("\n\n").filter((line) => line.startsWith("data: {"));
  return events.flatMap((line) => (JSON.parse(line.slice("data: ".length)) as { choices: StreamedChoice[] }).choices);
}

const slot = async (id: number): Promise<{ n_tokens: number; kv_bytes: number }> =>
  ((await (await fetch(`${server.url}/slots`)).json()) as { n_tokens: number; kv_bytes: number }[])[id]!;

/** What a sequence of so many tokens has when it is computed alone. */
async function alone(kv: string, tokens: number) {
  await using llm = await server.llm.withKv(kv);
  const sequence = llm.cache.createSequence();
  await llm.runner.prefill(sequence, new Array(tokens).fill(5), { logits: "none" });
  const result = { bytes: sequence.numBytes, layers: segmentsOf(sequence) };
  sequence.release();
  return result;
}

it("says what the slot's sequence has, and what a real cache in f16 has", async () => {
  const { json } = await server.post("/v1/completions", { ...ASK, id_slot: 2 });
  expect(json.error).toBeUndefined();
  const cache = json.choices[0].kv_cache as WireCache;
  expect(cache.tokens).toBe(json.usage.total_tokens - 1);
  expect(await slot(2)).toMatchObject({ n_tokens: cache.tokens, kv_bytes: cache.bytes });
  expect(cache.layers).toHaveLength(server.llm.config.numLayers);
  expect(cache.layers.reduce((sum, layer) => sum + bytesOfSegments(layer), 0)).toBe(cache.bytes);
  expect(cache.layers.reduce((sum, layer) => sum + layer.f16_bytes, 0)).toBe(cache.f16_bytes);
  for (const { codes, scales, sinks, window } of cache.layers) {
    for (const part of [codes, scales, sinks, window]) expect(part).toBeGreaterThan(0);
  }
  expect(cache.f16_bytes).toBe((await alone("f16", cache.tokens)).bytes);
  expect(cache.bytes).toBeLessThan(cache.f16_bytes);
  // The same pages as without a server; prompts that share their beginning change nothing about it.
  const { layers } = await alone("k4v4,window=64", cache.tokens);
  expect(cache.layers.map(({ f16_bytes: _, ...parts }) => parts)).toEqual(layers);
});

it.each(["/v1/completions", "/v1/chat/completions"])("a stream of %s says it as the cache grows", async (path) => {
  const { prompt, ...more } = ASK;
  const choices = await streamed(path, path.includes("chat") ? { ...CHAT, ...more } : { prompt, ...more });
  const reports = choices.flatMap(({ kv_cache }) => kv_cache ?? []);
  // With the first token, at full pages, at the end.
  expect(reports.length).toBeGreaterThanOrEqual(4);
  expect(reports.length).toBeLessThanOrEqual(5);
  for (const [i, { tokens }] of reports.slice(1, -1).entries()) {
    expect(tokens % 64).toBe(0);
    expect(tokens).toBeGreaterThan(reports[i]!.tokens);
  }
  const last = choices.at(-1)!;
  expect(last.finish_reason).toBe("length");
  expect(last.kv_cache).toEqual(reports.at(-1));
  expect(last.kv_cache!.f16_bytes).toBe((await alone("f16", last.kv_cache!.tokens)).bytes);
});

it("each of several continuations has its own; nobody gets it unasked", async () => {
  const { json } = await server.post("/v1/chat/completions", {
    ...CHAT,
    n: 2,
    temperature: 2,
    seed: 1,
    return_kv_cache: true,
  });
  for (const { kv_cache } of json.choices) expect(kv_cache.bytes).toBeGreaterThan(0);
  const plain = await server.post("/v1/chat/completions", CHAT);
  expect(plain.json.choices[0]).not.toHaveProperty("kv_cache");
  expect((await streamed("/v1/completions", { prompt: "A", max_tokens: 2 })).some((c) => "kv_cache" in c)).toBe(false);
});

it("another value than true or false is refused", async () => {
  const { status, json } = await server.post("/v1/chat/completions", { ...CHAT, return_kv_cache: "yes" });
  expect(status).toBe(400);
  expect(json.error).toEqual({
    message: expect.stringContaining("return_kv_cache"),
    type: "invalid_request_error",
    param: "return_kv_cache",
    code: "invalid_value",
  });
});
