/** @file A server with several models: which one a request gets, what is told of them, and what each has for itself. */
import { afterEach, beforeEach, expect, it } from "vitest";
import { FAKE_VOCAB } from "../../test/support/fake-checkpoint.ts";
import { type FakeOptions, loadFake } from "../../test/support/fake-ops.ts";
import { startServer, type TestServer, until } from "../../test/support/server.ts";
import { TurboQuantError } from "../errors.ts";
import { ModelEngine } from "./model-engine.ts";
import { ModelPool } from "./model-pool.ts";
import type { LoadedModel, Loading, ModelSource } from "./models.ts";
import { ServerMetrics } from "./server-metrics.ts";
import { textWorkHere } from "./text-work.ts";

const KNOWN = {
  ...{
    kv: "k4v4",
    weightBytes: 32 * FAKE_VOCAB + 128,
    vocabSize: FAKE_VOCAB,
    contextLength: 4096,
    trainedContext: 4096,
  },
  ...{ hiddenSize: 8, numLayers: 2 },
};
const MESSAGES = [{ role: "user", content: "Hi" }];
const CHAT = { messages: MESSAGES, max_tokens: 4, temperature: 0 };

/** A model over the fake backend, which takes 6 of the 10 bytes that there are. */
class FakeSource implements ModelSource {
  readonly name: string;
  readonly known = KNOWN;
  readonly options: FakeOptions;
  loads = 0;
  /** What loads wait for, and what they come to where that is no model. */
  gate: Promise<void> = Promise.resolve();
  fails: unknown = null;
  signal: AbortSignal | null = null;

  constructor(name: string, options: FakeOptions = {}) {
    this.name = name;
    this.options = options;
  }

  async load({ makeRoom, signal, onProgress }: Loading): Promise<LoadedModel> {
    this.loads++;
    this.signal = signal;
    onProgress({ phase: "load", item: "model.safetensors", done: 1, total: 4, unit: "bytes" });
    await Promise.race([
      this.gate,
      new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason), { once: true })),
    ]);
    await makeRoom({ bytes: 6, availableBytes: 10 });
    if (this.fails) throw this.fails;
    const { llm } = await loadFake(this.options);
    return new ModelEngine(llm, {
      scheduler: { observer: metrics.of(this.name) },
      text: Object.assign(textWorkHere(llm.tokenizer), { [Symbol.asyncDispose]: async () => {} }),
      logger: { info() {}, error() {} },
    });
  }
}

let sources: readonly [FakeSource, FakeSource];
let metrics: ServerMetrics;
let pool: ModelPool;
let server: TestServer;
beforeEach(async () => {
  sources = [new FakeSource("a"), new FakeSource("b", { stepMs: 1 })];
  metrics = new ServerMetrics({ modelNames: ["a", "b"], kv: "k4v4" });
  pool = new ModelPool(sources, { maxWaiting: 3 });
  for (const name of pool.names) {
    const own = metrics.of(name);
    own.watch(() => pool.listed(name).model?.scheduler.stats ?? server.scheduler.stats);
    own.watchLoads(() => pool.listed(name).model !== null);
  }
  server = await startServer({ fake: {}, server: { models: pool, metrics, timeoutMs: 60_000 } });
});
afterEach(async () => {
  await pool.close();
  await server.stop();
  await pool[Symbol.asyncDispose]();
});

const get = async (path: string) => {
  const response = await fetch(server.url + path);
  return { status: response.status, json: await response.json() };
};
const states = async () => {
  const { json } = await get("/v1/models");
  return json.data.map(({ id, status }: { id: string; status: { value: string } }) => `${id} ${status.value}`);
};
const chat = (more: object = {}) => server.post("/v1/chat/completions", { ...CHAT, ...more });

/** A request that waits for `b`, and `leave`, which hangs up. */
async function waitForB() {
  let open = (): void => {};
  sources[1].gate = new Promise((resolve) => {
    open = resolve;
  });
  const client = new AbortController();
  const body = JSON.stringify({ ...CHAT, model: "b" });
  const answer = fetch(`${server.url}/v1/chat/completions`, { method: "POST", body, signal: client.signal });
  answer.catch(() => {});
  await until(() => sources[1].signal !== null, "it is being loaded");
  return { open, answer, leave: () => client.abort() };
}

it("the name in a request picks the model, the first without one; none other is there", async () => {
  expect(await states()).toEqual(["a unloaded", "b unloaded"]);
  expect((await chat()).json.model).toBe("a");
  expect(await states()).toEqual(["a loaded", "b unloaded"]);
  const { json } = await chat({ model: "b" });
  expect([json.model, json.usage.completion_tokens]).toEqual(["b", 4]);
  expect(await states()).toEqual(["a unloaded", "b loaded"]);
  expect(await chat({ model: "c" })).toMatchObject({
    status: 404,
    json: {
      error: { code: "model_not_found", message: 'model "c": not here; this server has a, b', param: "model" },
    },
  });
  expect(sources.map(({ loads }) => loads)).toEqual([1, 1]);
});

it("models are listed with what is known of them, and with more when they are loaded", async () => {
  const meta = { vocab_size: FAKE_VOCAB, n_ctx: 4096, n_ctx_train: 4096, n_embd: 8, n_layer: 2 };
  const unloaded = { id: "a", object: "model", kv: "k4v4", max_model_len: 4096, meta, status: { value: "unloaded" } };
  expect((await get("/v1/models/a")).json).toMatchObject({
    ...unloaded,
    meta: { ...meta, size: KNOWN.weightBytes },
  });
  await chat();
  const { json } = await get("/v1/models/a");
  expect(json).toMatchObject({ meta: { ...meta, backend: "fake" }, status: { value: "loaded", memory: 6 } });
  expect((await get("/v1/models/c")).status).toBe(404);
});

it("a request waits for its model, and others go on; the list tells how far it is", async () => {
  await chat();
  const { open, answer } = await waitForB();
  const { json } = await get("/v1/models/b");
  expect(json.status).toEqual({ value: "loading", progress: { phase: "load", done: 1, total: 4, unit: "bytes" } });
  expect((await chat()).status).toBe(200);
  const more = [chat({ model: "b" }), chat({ model: "b" })];
  await until(() => server.log.length > 0 && sources[1].loads === 1, "they wait");
  open();
  expect((await answer).status).toBe(200);
  expect((await Promise.all(more)).map(({ status }) => status)).toEqual([200, 200]);
  expect(sources.map(({ loads }) => loads)).toEqual([1, 1]);
});

it("a load ends when its client has left, and is logged as that", async () => {
  const { leave } = await waitForB();
  leave();
  await until(() => sources[1].signal!.aborted, "the load is cancelled");
  await until(() => server.log.some(({ fields }) => (fields as { status: number }).status === 499), "it is logged");
  expect(await states()).toEqual(["a unloaded", "b unloaded"]);
  sources[1].gate = Promise.resolve();
  expect((await chat({ model: "b" })).status).toBe(200);
});

it("a model that cannot be loaded is one clear error, and others go on", async () => {
  sources[1].fails = new TurboQuantError("out_of_memory", "model: the weights need 9 GB, more than there are");
  const { status, json, headers } = await chat({ model: "b", stream: true });
  expect({ status, error: json.error, retry: headers.get("retry-after") }).toEqual({
    status: 503,
    error: {
      message: "model b cannot be loaded: model: the weights need 9 GB, more than there are",
      type: "unavailable_error",
      param: "model",
      code: "model_load_failed",
    },
    retry: null,
  });
  expect((await get("/v1/models/b")).json.status).toMatchObject({
    value: "unloaded",
    failed: true,
    error: expect.stringContaining("9 GB"),
  });
  expect((await chat()).status).toBe(200);
});

it("a model stays for as long as one of its answers is read", async () => {
  const body = JSON.stringify({ ...CHAT, model: "b", stream: true, max_tokens: 100 });
  const response = await fetch(`${server.url}/v1/chat/completions`, { method: "POST", body });
  const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
  let text = (await reader.read()).value!;
  const other = chat();
  const gone = server.post("/models/unload", { model: "b" });
  for (let next = await reader.read(); !next.done; next = await reader.read()) text += next.value;
  expect(text.match(/"finish_reason":"(\w+)"/)?.[1]).toBe("length");
  expect(text.endsWith("data: [DONE]\n\n")).toBe(true);
  expect((await other).json.model).toBe("a");
  expect((await gone).json).toEqual({ success: true });
  expect(await states()).toEqual(["a loaded", "b unloaded"]);
});

it.each<[string, object]>([
  ["/v1/chat/completions", { ...CHAT, top_logprobs: 2 }],
  ["/v1/completions", { prompt: ["a", "b"], n: 200 }],
  ["/v1/completions/render", { prompt: "a", best_of: 2 }],
  ["/v1/responses", { input: "a", previous_response_id: "none" }],
  ["/v1/messages", { ...CHAT, thread: {} }],
  ["/v1/embeddings", { input: 1 }],
])("no model is loaded for what %s refuses for another reason", async (path, body) => {
  expect((await server.post(path, body)).status).toBeOneOf([400, 404]);
  expect(await states()).toEqual(["a unloaded", "b unloaded"]);
});

it("models are loaded and unloaded by hand, also under /v1, and nobody else may where there are keys", async () => {
  expect(await server.post("/models/load", { model: "b" })).toMatchObject({ status: 200, json: { success: true } });
  expect(await states()).toEqual(["a unloaded", "b loaded"]);
  expect((await server.post("/v1/models/unload", { model: "b" })).json).toEqual({ success: true });
  expect((await server.post("/models/unload", { model: "b" })).json).toEqual({ success: true });
  expect(await states()).toEqual(["a unloaded", "b unloaded"]);
  expect((await server.post("/models/load", { model: "c" })).status).toBe(404);
  expect((await server.post("/models/load", {})).json.error.param).toBe("model");
  sources[0].fails = new TurboQuantError("invalid_file", "broken");
  expect((await server.post("/models/load", { model: "a" })).json.error.code).toBe("model_load_failed");
  const locked = await startServer({ fake: {}, server: { models: pool, metrics, apiKeys: ["key"] } });
  expect((await locked.post("/models/unload", { model: "b" })).status).toBe(401);
  await locked.stop();
});

it("one model alone is listed as ever, is loaded, and stays", async () => {
  const alone = await startServer({ fake: {} });
  const { data } = (await (await fetch(`${alone.url}/v1/models`)).json()) as { data: [object] };
  expect(Object.keys(data[0])).toEqual(["id", "object", "created", "owned_by", "kv", "max_model_len", "meta"]);
  expect((await alone.post("/models/load", { model: "fake" })).json).toEqual({ success: true });
  const { status, json } = await alone.post("/models/unload", { model: "fake" });
  expect({ status, code: json.error.code }).toEqual({ status: 400, code: "unsupported" });
  const metrics = await (await fetch(`${alone.url}/metrics`)).text();
  expect(metrics).not.toContain("model_loaded");
  for (const line of metrics.trim().split("\n")) expect(line).toMatch(/^#|\{model_name="fake"/);
  await alone.stop();
});

it("slots and properties are those of a model in memory, and tokens those of any", async () => {
  expect(await get("/props")).toMatchObject({ status: 409, json: { error: { code: "model_not_loaded" } } });
  expect((await get("/slots?model=b")).status).toBe(409);
  expect((await server.post("/slots/0?action=erase&model=b", {})).status).toBe(409);
  expect(await states()).toEqual(["a unloaded", "b unloaded"]);
  const { tokens } = (await server.post("/tokenize", { model: "b", content: "ab" })).json;
  expect((await server.post("/detokenize", { model: "b", tokens })).json.content).toBe("ab");
  expect((await get("/tokenizer_info?model=b")).json.chat_template).toContain("<|im_start|>");
  expect(await states()).toEqual(["a unloaded", "b loaded"]);
  expect((await get("/props?model=b")).json.model_alias).toBe("b");
  expect((await get("/slots?model=c")).status).toBe(404);
  await chat({ model: "b", id_slot: 2 });
  const slots = (await get("/slots?model=b")).json as { n_tokens: number }[];
  expect(slots[2]!.n_tokens).toBeGreaterThan(0);
});

it("a conversation goes with its model, and is read again", async () => {
  const long = [{ role: "user", content: "a".repeat(100) }];
  const cached = async () => (await chat({ messages: long })).json.usage.prompt_tokens_details.cached_tokens;
  await cached();
  expect(await cached()).toBeGreaterThan(0);
  await chat({ model: "b" });
  expect(await cached()).toBe(0);
});

it("a response that is stored goes on with any model", async () => {
  const ask = (body: object) => server.post("/v1/responses", { max_output_tokens: 4, temperature: 0, ...body });
  const first = (await ask({ model: "a", input: "Hi" })).json;
  const { status, json } = await ask({ model: "b", input: "And?", previous_response_id: first.id });
  expect([status, first.model, json.model]).toEqual([200, "a", "b"]);
  expect(json.usage.input_tokens).toBeGreaterThan(first.usage.total_tokens);
});

it("each model has series of its own, which stay when it goes, and requests for none have no name", async () => {
  await chat({ max_tokens: 3 });
  await chat({ model: "b" });
  await chat({ model: "c" });
  await get("/ready");
  const text = await (await fetch(`${server.url}/metrics`)).text();
  const has = (line: string) => expect(text.split("\n")).toContain(`turboquant:${line}`);
  has('generation_tokens_total{model_name="a"} 3');
  has('generation_tokens_total{model_name="b"} 4');
  has('model_loaded{model_name="a"} 0');
  has('model_loaded{model_name="b"} 1');
  const route = 'handler="/v1/chat/completions"';
  has(`http_requests_total{model_name="a",${route},status="200"} 1`);
  has(`http_requests_total{model_name="b",${route},status="200"} 1`);
  has(`http_requests_total{${route},status="404"} 1`);
  has('http_requests_total{handler="/ready",status="200"} 1');
  const headers = text.match(/^# TYPE .*/gm)!;
  expect(new Set(headers).size).toBe(headers.length);
});

it("no more requests are taken while it ends; those that wait for a model are refused", async () => {
  expect((await get("/ready")).status).toBe(200);
  const { answer } = await waitForB();
  await pool.drain();
  expect((await answer).status).toBe(503);
  expect((await get("/ready")).status).toBe(503);
  expect((await chat()).json.error.message).toBe("shutting down; ask another server");
});

it("time that is up while a model is loaded is up", async () => {
  const hasty = await startServer({ fake: {}, server: { models: pool, metrics, timeoutMs: 50 } });
  sources[1].gate = new Promise(() => {});
  const { status, json } = await hasty.post("/v1/chat/completions", { ...CHAT, model: "b" });
  expect({ status, code: json.error.code }).toEqual({ status: 504, code: "timeout" });
  await until(() => sources[1].signal?.aborted ?? true, "the load is cancelled");
  await hasty.stop();
});
