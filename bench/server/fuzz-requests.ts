/** @file Requests that no client should send, by seed and number: valid ones of every route with some of their parts made wrong, as bytes. */
import { draw } from "./prompts.ts";

/** How a request is sent: whole, in pieces with pauses, or by a client that hangs up inside its body or inside the answer. */
export type Manner = "whole" | "slow" | "leaves-in-body" | "leaves-in-answer";

export interface FuzzedRequest {
  readonly index: number;
  readonly method: string;
  /** Path and query. */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer | null;
  readonly manner: Manner;
  /** What was made wrong, in order; nothing for one in some that stays valid. */
  readonly changes: readonly string[];
}

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

const MODEL = "small";
const MESSAGES: Json = [
  { role: "system", content: "Be brief." },
  { role: "user", content: "Say something about a river." },
];
const TOOL: Json = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const SHORT = { max_tokens: 4, temperature: 0 };
const CHAT = { model: MODEL, messages: MESSAGES, ...SHORT };
const COMPLETION = { model: MODEL, prompt: "A river", ...SHORT };

interface Base {
  readonly method: string;
  readonly path: string;
  readonly body?: { [key: string]: Json };
}

const post = (path: string, body: { [key: string]: Json }): Base => ({ method: "POST", path, body });
const get = (path: string): Base => ({ method: "GET", path });

/** Valid requests of all routes; those that stand twice are drawn as much more often. */
const BASES: readonly Base[] = [
  post("/v1/chat/completions", CHAT),
  post("/v1/chat/completions", { ...CHAT, stream: true, stream_options: { include_usage: true } }),
  post("/v1/chat/completions", { ...CHAT, n: 2, logprobs: true, top_logprobs: 3, stop: ["\n"], logit_bias: { 5: 1 } }),
  post("/v1/chat/completions", {
    ...CHAT,
    tools: [{ type: "function", function: { name: "weather", parameters: TOOL } }],
    tool_choice: "auto",
  }),
  post("/v1/chat/completions", {
    ...CHAT,
    stream: true,
    response_format: { type: "json_schema", json_schema: { name: "answer", schema: TOOL } },
  }),
  post("/v1/completions", COMPLETION),
  post("/v1/completions", { ...COMPLETION, stream: true, logprobs: 2, echo: true }),
  post("/v1/completions", {
    ...COMPLETION,
    prompt: [[300, 301, 302], [400]],
    top_p: 0.9,
    top_k: 5,
    min_p: 0.1,
    seed: 1,
  }),
  post("/v1/chat/completions/render", CHAT),
  post("/v1/completions/render", COMPLETION),
  post("/v1/embeddings", { model: MODEL, input: ["a river", "a town"], encoding_format: "float" }),
  post("/v1/embeddings", { model: MODEL, input: [300, 301], encoding_format: "base64", dimensions: 8 }),
  post("/v1/responses", { model: MODEL, input: "Say something.", max_output_tokens: 4, temperature: 0 }),
  post("/v1/responses", {
    model: MODEL,
    input: [{ type: "message", role: "user", content: [{ type: "input_text", text: "Hello" }] }],
    tools: [{ type: "function", name: "weather", parameters: TOOL }],
    max_output_tokens: 4,
    stream: true,
  }),
  get("/v1/responses/resp_1"),
  { method: "DELETE", path: "/v1/responses/resp_1" },
  post("/v1/messages", { model: MODEL, messages: [{ role: "user", content: "Hello" }], max_tokens: 4 }),
  post("/v1/messages", {
    model: MODEL,
    system: [{ type: "text", text: "Be brief." }],
    messages: [{ role: "user", content: [{ type: "text", text: "Hello" }] }],
    tools: [{ name: "weather", input_schema: TOOL }],
    tool_choice: { type: "auto" },
    max_tokens: 4,
    stream: true,
  }),
  post("/v1/messages/count_tokens", { model: MODEL, messages: [{ role: "user", content: "Hello" }] }),
  post("/tokenize", { content: "A river", add_special: true }),
  post("/tokenize", { messages: MESSAGES }),
  post("/detokenize", { tokens: [300, 301, 302] }),
  post("/apply-template", CHAT),
  post("/slots/0?action=save", { filename: "one.bin" }),
  post("/slots/0?action=restore", { filename: "one.bin" }),
  post("/slots/0?action=erase", {}),
  // The other model comes and goes, so that what the plain requests ask stays.
  post("/v1/models/load", { model: "other" }),
  post("/v1/models/unload", { model: "other" }),
  ...["/health", "/ready", "/version", "/metrics", "/props", "/slots", "/openapi.json", "/tokenizer_info"].map(get),
  get("/v1/models"),
  get("/v1/models/small"),
];

const LONG = 20_000;
const deep = (levels: number): Json => {
  let value: Json = {};
  for (let level = 0; level < levels; level++) value = level % 2 === 0 ? [value] : { a: value };
  return value;
};

/** Values that stand where others were expected. Made when drawn, as some are large. */
const ODD_VALUES: readonly (() => Json)[] = [
  ...[null, true, false, "", " ", "0", "null", "auto", [], {}, [[]], [null], [{}], { "": null }],
  ...[0, -0, -1, 1, 0.5, 2, 1e9, 2 ** 31, -(2 ** 31), 2 ** 32, 2 ** 53, -(2 ** 53), 2 ** 64, 1e308, -1e308, 5e-324],
  ...[
    "\0",
    "\ud800",
    "\udfff\ud800",
    "a\ud83d",
    "\u{10ffff}",
    "\ufeff",
    "\u202e\u0301".repeat(9),
    "<|im_start|>",
    "<|endoftext|>",
  ],
  ...[
    "../../etc/passwd",
    "{{ 7 * 7 }}",
    "(a+)+$",
    "[",
    "__proto__",
    "data:image/png;base64,AAAA",
    "http://127.0.0.1:1/",
    "%00",
  ],
].map((value) => () => value as Json);
const LARGE_VALUES: readonly (() => Json)[] = [
  () => "a".repeat(LONG),
  () => "\ud83d\ude00".repeat(LONG / 2),
  () => "\ud800".repeat(LONG / 4),
  () => " ".repeat(LONG),
  () => "\n".repeat(LONG),
  () => Array.from({ length: LONG }, (_, i) => i),
  () => Array.from({ length: 2000 }, () => "a"),
  () => Array.from({ length: 500 }, () => ({ role: "user", content: "a" })),
  () => Object.fromEntries(Array.from({ length: 2000 }, (_, i) => [`k${i}`, i])),
  () => deep(50),
  () => deep(500),
];

/** Fields that requests of some route have, so that they are met where they do not belong, or with another one. */
const FIELDS = (
  "model messages prompt input stream stream_options n best_of echo suffix stop stop_token_ids max_tokens max_completion_tokens min_tokens temperature top_p " +
  "top_k min_p seed logprobs top_logprobs prompt_logprobs logit_bias bias presence_penalty frequency_penalty repetition_penalty response_format tools tool_choice " +
  "parallel_tool_calls grammar guided_regex guided_json guided_choice structured_outputs ignore_eos cache_salt user metadata store previous_response_id " +
  "instructions reasoning reasoning_effort chat_template chat_template_kwargs add_generation_prompt continue_final_message encoding_format dimensions " +
  "content tokens add_special parse_special with_pieces filename system thinking priority return_token_ids unknown_field __proto__ constructor toString"
).split(" ");

const METHODS = ["GET", "HEAD", "POST", "DELETE", "OPTIONS", "PUT", "PATCH", "TRACE"];
const PATHS = [
  "/",
  "//",
  "/v1",
  "/v1/",
  "/V1/models",
  "/v1/models/%00",
  "/v1/models/%ff",
  "/v1/models/..%2f..",
  "/v1/responses/%E0%A4%A",
  "/slots/-1",
  "/slots/1e9?action=save",
  "/slots/0?action=",
  "/slots/0?action=save&action=erase",
  "/props?model=%ff",
  `/${"a".repeat(4000)}`,
];
const HEADERS: readonly (readonly [string, string])[] = [
  ...[
    "text/plain",
    "",
    "application/json; charset=utf-16",
    "multipart/form-data; boundary=x",
    "\u00ff",
    "application/x-www-form-urlencoded",
  ].map((type) => ["content-type", type] as const),
  ["authorization", "Bearer "],
  ["authorization", "Basic \u00ff\u00fe"],
  ["x-api-key", "a".repeat(3000)],
  ["origin", "null"],
  ["origin", "http://evil.example"],
  ["host", "evil.example"],
  ["host", "[::1"],
  ["accept", "image/png"],
  ["accept-encoding", "gzip, br, *;q=0"],
  ["content-encoding", "gzip"],
  ["content-encoding", "nonsense"],
  ["anthropic-version", "1"],
  ["range", "bytes=5-1"],
  ["if-none-match", "*"],
  ["x-forwarded-for", "::::"],
  ["x-request-id", "\u00e9".repeat(300)],
  ["expect", "something"],
  ["x-large", "a".repeat(30_000)],
];

/** Draws one after the other for one request. */
class Draws {
  readonly #seed: number;
  #next = 0;

  constructor(seed: number) {
    this.#seed = seed;
  }

  below(limit: number): number {
    return draw(this.#seed, this.#next++, limit);
  }

  of<T>(all: readonly T[]): T {
    return all[this.below(all.length)]!;
  }
}

const isHolder = (value: Json): value is Json[] | { [key: string]: Json } =>
  typeof value === "object" && value !== null;

/** Walks down from the body and stops at a random depth. returns: an object or list, and a key in it; null where it is empty */
function place(body: Json, draws: Draws): { holder: Record<string, Json>; key: string } | null {
  let holder = body as Record<string, Json>;
  for (;;) {
    const keys = Object.keys(holder);
    if (keys.length === 0) return null;
    const key = draws.of(keys);
    const value = holder[key]!;
    if (!isHolder(value) || draws.below(3) === 0) return { holder, key };
    if (Object.keys(value).length === 0) return { holder, key };
    holder = value as Record<string, Json>;
  }
}

const oddValue = (draws: Draws): Json => (draws.below(8) === 0 ? draws.of(LARGE_VALUES) : draws.of(ODD_VALUES))();

/** Sets a key as JSON would, `__proto__` among them. */
const set = (holder: object, key: string, value: Json): void => {
  Object.defineProperty(holder, key, { value, enumerable: true, configurable: true, writable: true });
};

/** Changes the body in place. returns: what was done */
function changeBody(body: { [key: string]: Json }, draws: Draws): string {
  const at = place(body, draws);
  const kind = draws.below(6);
  if (kind < 2 || at === null) {
    const field = draws.of(FIELDS);
    set(body, field, oddValue(draws));
    return `${field} set`;
  }
  const { holder, key } = at;
  if (kind === 2) {
    if (Array.isArray(holder)) holder.splice(Number(key), 1);
    else delete holder[key];
    return `${key} left out`;
  }
  if (kind === 3 && Array.isArray(holder)) {
    const element = holder[Number(key)]!;
    holder.push(...Array.from({ length: draws.of([1, 10, 300]) }, () => structuredClone(element)));
    return `${key} repeated`;
  }
  set(holder, key, oddValue(draws));
  return `${key} replaced`;
}

/** A body of lists in lists, deeper than `JSON.stringify` goes, closed or not. */
const nested = (levels: number, isClosed: boolean): Buffer => {
  const lists = "[".repeat(levels) + (isClosed ? "]".repeat(levels) : "");
  return Buffer.from(isClosed ? `{"model":"${MODEL}","prompt":${lists},"messages":${lists}}` : lists);
};

/** Changes the text of a body. */
function changeBytes(bytes: Buffer, draws: Draws): readonly [Buffer, string] {
  const at = draws.below(bytes.length + 1);
  switch (draws.below(8)) {
    case 0:
      return [bytes.subarray(0, at), "cut off"];
    case 1:
      return [
        Buffer.concat([bytes.subarray(0, at), Buffer.from([0xff, 0xc0, 0x80]), bytes.subarray(at)]),
        "broken UTF-8",
      ];
    case 2:
      return [
        Buffer.concat([bytes.subarray(0, at), Buffer.from([0xed, 0xa0, 0x80]), bytes.subarray(at)]),
        "surrogate in UTF-8",
      ];
    case 3: {
      const changed = Buffer.from(bytes);
      for (let i = 0; i < 4 && changed.length > 0; i++) changed[draws.below(changed.length)] = draws.below(256);
      return [changed, "bytes changed"];
    }
    case 4:
      return [Buffer.concat([bytes, bytes]), "twice"];
    case 5:
      return [nested(draws.of([100, 10_000, 300_000]), draws.below(2) === 0), "deep lists"];
    case 6:
      return [
        Buffer.from(
          draws.of(["", "null", "[]", '""', "1e999", "{", "NaN", "\ufeff{}", '{"a":1,"a":2}', "'x'", "{}{}"]),
        ),
        "another text",
      ];
    default:
      return [Buffer.concat([Buffer.from([0xff, 0xfe]), Buffer.from(bytes.toString("latin1"), "utf16le")]), "UTF-16"];
  }
}

/** The request of a number; the same for the same seed. */
export function fuzzedRequest(seed: number, index: number): FuzzedRequest {
  const draws = new Draws(seed * 10_000_000 + index);
  const base = draws.of(BASES);
  let { method, path } = base;
  const headers: Record<string, string> = base.body ? { "content-type": "application/json" } : {};
  const changes: string[] = [];
  let body: Buffer | null = null;
  if (base.body) {
    const value = structuredClone(base.body);
    for (let left = draws.of([0, 1, 1, 1, 2, 2, 3, 5]); left > 0; left--) changes.push(changeBody(value, draws));
    body = Buffer.from(JSON.stringify(value));
    if (draws.below(6) === 0) {
      const [bytes, change] = changeBytes(body, draws);
      body = bytes;
      changes.push(change);
    }
  }
  if (draws.below(20) === 0) {
    method = draws.of(METHODS);
    changes.push(`method ${method}`);
  }
  if (draws.below(20) === 0) {
    path = draws.of(PATHS);
    changes.push("path");
  }
  if (draws.below(8) === 0) {
    const [name, value] = draws.of(HEADERS);
    headers[name] = value;
    changes.push(`header ${name}`);
  }
  const manner = draws.of<Manner>(
    [..."wwwwwwwwwwwwww"].map((): Manner => "whole").concat("slow", "leaves-in-body", "leaves-in-answer"),
  );
  return { index, method, path, headers, body, manner, changes };
}
