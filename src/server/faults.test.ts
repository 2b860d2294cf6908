/** @file What clients do wrong: each gets the error object with the right status, and nobody else notices. */
import { mkdtempSync, rmSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { writeFakeCheckpoint } from "../../test/support/fake-checkpoint.ts";
import { startServer, type TestServer, until } from "../../test/support/server.ts";
import { TurboQuantError } from "../errors.ts";

const FRANCE = [{ role: "user" as const, content: "What is the capital of France?" }];
const CHAT = "/v1/chat/completions";
/** Both ends are in this process: twice as many open files, of which most systems allow 4096 or more. */
const SILENT = 1000;
const STORY = { prompt: "Once upon a time", temperature: 0.8, seed: 5, max_tokens: 60, ignore_eos: true };

let server: TestServer;
let expected: string;
beforeAll(async () => {
  server = await startServer({ fake: { stepMs: 1 }, load: { contextLength: 1024 } });
  expected = (await server.post("/v1/completions", STORY)).json.choices[0].text;
});
afterAll(async () => {
  await server.stop();
});

/** Sends bytes as they are; collects what comes back until the connection closes. */
function open(port = server.port): { socket: Socket; received: () => string; closed: Promise<void> } {
  const socket = connect(port, "127.0.0.1");
  let text = "";
  socket.on("data", (data) => {
    text += data.toString("latin1");
  });
  socket.on("error", () => {});
  const closed = new Promise<void>((resolve) => socket.on("close", () => resolve()));
  return { socket, received: () => text, closed };
}

/** Runs something while a well-behaved client asks; its answer must be the usual one. */
async function besideAGoodClient<T>(use: () => Promise<T>, asked = server): Promise<T> {
  const good = asked.post("/v1/completions", STORY);
  const result = await use();
  const { status, json } = await good;
  expect(status).toBe(200);
  expect(json.choices[0].text).toBe(expected);
  return result;
}

describe("requests that are wrong", () => {
  const chat = (more: object) => ({ messages: FRANCE, ...more });
  it.each<[string, string, unknown, number, string, string?]>([
    ["no JSON", CHAT, '{"messages": [', 400, "invalid_json"],
    ["an empty body", CHAT, "", 400, "invalid_json"],
    ["a list", CHAT, "[]", 400, "invalid_value"],
    ["null", CHAT, "null", 400, "invalid_value"],
    ["deeply nested", CHAT, `{"messages":${"[".repeat(5000)}${"]".repeat(5000)}}`, 400, "invalid_value"],
    ["bytes that are no UTF-8", CHAT, new Uint8Array([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x7d]), 400, "invalid_utf8"],
    ["no messages", CHAT, {}, 400, "invalid_value", "messages"],
    ["messages of another type", CHAT, { messages: "hello" }, 400, "invalid_value", "messages"],
    ["a message without role", CHAT, { messages: [{ content: "x" }] }, 400, "invalid_value", "messages.0.role"],
    [
      "an unknown role",
      CHAT,
      { messages: [{ role: "wizard", content: "x" }] },
      400,
      "invalid_value",
      "messages.0.role",
    ],
    [
      "a number as content",
      CHAT,
      { messages: [{ role: "user", content: 5 }] },
      400,
      "invalid_value",
      "messages.0.content",
    ],
    [
      "an image",
      CHAT,
      { messages: [{ role: "user", content: [{ type: "image_url", image_url: { url: "x" } }] }] },
      400,
      "invalid_value",
      "messages.0.content",
    ],
    ["another model", CHAT, chat({ model: "gpt-9" }), 404, "model_not_found", "model"],
    ["a misspelt field", CHAT, chat({ temprature: 1 }), 400, "unknown_field", "temprature"],
    ["a text as number", CHAT, chat({ temperature: "hot" }), 400, "invalid_value", "temperature"],
    ["a negative temperature", CHAT, chat({ temperature: -0.1 }), 400, "invalid_value", "temperature"],
    [
      "an infinite temperature",
      CHAT,
      '{"messages":[{"role":"user","content":"x"}],"temperature":1e999}',
      400,
      "invalid_value",
      "temperature",
    ],
    ["a huge max_tokens", CHAT, chat({ max_tokens: 1e300 }), 400, "invalid_value", "max_tokens"],
    ["a negative max_tokens", CHAT, chat({ max_tokens: -1 }), 400, "invalid_value", "max_tokens"],
    ["half a token", CHAT, chat({ max_tokens: 1.5 }), 400, "invalid_value", "max_tokens"],
    ["top_p above one", CHAT, chat({ top_p: 1.1 }), 400, "invalid_value", "top_p"],
    ["n of zero", CHAT, chat({ n: 0 }), 400, "invalid_value", "n"],
    ["n of a thousand", CHAT, chat({ n: 1000 }), 400, "invalid_argument"],
    ["a bias for no token", CHAT, chat({ logit_bias: { hello: 1 } }), 400, "invalid_value"],
    ["a bias for a token that is none", CHAT, chat({ logit_bias: { 99999: 1 } }), 400, "invalid_value", "logit_bias"],
    ["a bias too large", CHAT, chat({ logit_bias: { 5: 101 } }), 400, "invalid_value", "logit_bias.5"],
    ["an empty stop", CHAT, chat({ stop: "" }), 400, "invalid_value", "stop"],
    ["a thousand stops", CHAT, chat({ stop: Array.from({ length: 1000 }, () => "x") }), 400, "invalid_value", "stop"],
    ["one token by two names", CHAT, chat({ logit_bias: { 5: 60, "05": 60 } }), 400, "invalid_value"],
    ["top_logprobs alone", CHAT, chat({ top_logprobs: 2 }), 400, "invalid_value", "top_logprobs"],
    [
      "a prompt over the context",
      CHAT,
      { messages: [{ role: "user", content: "word ".repeat(3000) }] },
      400,
      "context_length_exceeded",
    ],
    ["an empty prompt", "/v1/completions", { prompt: "" }, 400, "invalid_argument"],
    ["no prompts", "/v1/completions", { prompt: [] }, 400, "invalid_argument"],
    ["a token that is none", "/v1/completions", { prompt: [5, 99999] }, 400, "invalid_argument"],
    ["a negative token", "/v1/completions", { prompt: [-5] }, 400, "invalid_value", "prompt.0"],
    ["a mixture", "/v1/completions", { prompt: ["a", [1]] }, 400, "invalid_value", "prompt"],
    [
      "too many prompts",
      "/v1/completions",
      { prompt: Array.from({ length: 300 }, () => "a") },
      400,
      "invalid_value",
      "prompt",
    ],
    ["best_of", "/v1/completions", { prompt: "a", best_of: 3 }, 400, "invalid_value", "best_of"],
    [
      "log-probabilities without end",
      "/v1/completions",
      {
        prompt: Array.from({ length: 4 }, () => Array.from({ length: 1000 }, () => 300)),
        n: 64,
        echo: true,
        logprobs: 20,
      },
      400,
      "invalid_value",
      "logprobs",
    ],
    ["no such token to show", "/detokenize", { tokens: [99999] }, 400, "invalid_value", "tokens"],
    ["two texts to cut", "/tokenize", { content: "a", prompt: "b" }, 400, "invalid_value"],
    ["no such route", "/v1/moderations", {}, 404, "not_found"],
    ["a slot that is none", "/slots/x?action=erase", {}, 400, "invalid_value"],
    ["a slot too far", "/slots/9999?action=erase", {}, 400, "invalid_argument"],
    ["an action that is none", "/slots/0?action=explode", {}, 400, "invalid_value", "action"],
    ["a field of a megabyte", CHAT, `{"messages":[],"${"a".repeat(1 << 19)}":1}`, 400, "invalid_value"],
    ["saving where it is off", "/slots/0?action=save", { filename: "x" }, 501, "slots_off"],
  ])("%s", async (_name, path, body, status, code, param) => {
    const answer = await server.post(path, body);
    expect(answer.json.error.message).toEqual(expect.any(String));
    expect({ status: answer.status, code: answer.json.error.code }).toEqual({ status, code });
    if (param !== undefined) expect(answer.json.error.param).toBe(param);
    expect(Object.keys(answer.json)).toEqual(["error"]);
    expect(answer.json.error.type).toMatch(/_error$/);
    expect(answer.headers.get("x-request-id")).toMatch(/^[0-9a-f]{24}$/);
  });

  it("a body too long, whether it says so or not", async () => {
    const long = `{"messages":[{"role":"user","content":"${"x".repeat(2 << 20)}"}]}`;
    await besideAGoodClient(async () => {
      expect(await server.post(CHAT, long)).toMatchObject({ status: 413, json: { error: { code: "body_too_large" } } });
      const { socket, received } = open();
      socket.write(`POST ${CHAT} HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n`);
      const piece = "x".repeat(64 << 10);
      for (let i = 0; i < 20; i++) socket.write(`${piece.length.toString(16)}\r\n${piece}\r\n`);
      await until(() => received().includes("\r\n\r\n"), "an answer");
      expect(received()).toContain("413");
      socket.destroy();
    });
  });

  it("the connection of a refused body takes the client's next request", async () => {
    const { socket, received } = open();
    const post = (path: string, body: string): string =>
      `POST ${path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: ${body.length}\r\n\r\n${body}`;
    const deep = post(CHAT, `{"messages":${"[".repeat(1 << 19)}`);
    for (let at = 0; at < deep.length; at += 1 << 16) {
      socket.write(deep.slice(at, at + (1 << 16)));
      await new Promise((resolve) => setImmediate(resolve));
    }
    await until(() => received().includes("256 levels"), "the refusal");
    socket.write(post("/tokenize", '{"content": "a"}'));
    await until(() => received().includes('"tokens":['), "the answer");
    expect(received().match(/HTTP\/1.1 \d+/g)).toEqual(["HTTP/1.1 400", "HTTP/1.1 200"]);
    socket.destroy();
  });

  it("names of models that no address has, and bodies that are packed", async () => {
    for (const name of ["%25", "%", "a%25zz"])
      expect((await fetch(`${server.url}/v1/models/${name}`)).status).toBe(404);
    const packed = await server.post(CHAT, "x", { "content-encoding": "gzip" });
    expect(packed).toMatchObject({ status: 415, json: { error: { code: "unsupported_encoding" } } });
  });

  it("what is no HTTP", async () => {
    const { socket, received, closed } = open();
    socket.write("HELO there\r\n\r\n");
    await closed;
    expect(received()).toContain("400 Bad Request");
  });

  it("after all that nothing was logged as a fault of ours", () => {
    expect(server.log.filter(({ level }) => level === "error")).toEqual([]);
  });
});

describe("connections that are wrong", () => {
  /** Only here, as a busy machine may take longer to send what is well. */
  let impatient: TestServer;
  beforeAll(async () => {
    impatient = await startServer({ fake: { stepMs: 1 }, requestTimeoutMs: 500, load: { contextLength: 1024 } });
  });
  afterAll(() => impatient.stop());

  it("bodies sent by half: closed while others are answered", async () => {
    await besideAGoodClient(async () => {
      const halves = Array.from({ length: 20 }, () => open(impatient.port));
      for (const { socket } of halves) {
        socket.write(`POST ${CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000\r\n\r\n{"messages":`);
      }
      for (const { socket } of halves.slice(0, 10)) socket.end();
      await Promise.all(halves.map(({ closed }) => closed));
      expect(halves[15]!.received()).toContain("408");
    }, impatient);
  });

  it("connections that say nothing, or stop within the headers", async () => {
    await besideAGoodClient(async () => {
      const silent = Array.from({ length: SILENT }, () => open(impatient.port));
      for (const { socket } of silent.slice(0, 300)) socket.write(`POST ${CHAT} HTTP/1.1\r\nhost: loc`);
      await new Promise((resolve) => setTimeout(resolve, 100));
      // Others get in beside them.
      expect((await fetch(`${impatient.url}/health`)).status).toBe(200);
      // All of them are closed, those that never sent a byte as well.
      await Promise.all(silent.map(({ closed }) => closed));
    }, impatient);
  });

  it("a reader that takes a byte at a time holds up nobody, and gets all of it", async () => {
    const whole = await server.post("/v1/completions", { ...STORY, logprobs: 5 });
    const socket = connect(server.port, "127.0.0.1");
    socket.pause();
    const body = JSON.stringify({ ...STORY, logprobs: 5, stream: true });
    socket.write(
      `POST /v1/completions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
    );
    let received = "";
    await besideAGoodClient(async () => {
      for (let i = 0; i < 20; i++) {
        received += socket.read(1)?.toString("latin1") ?? "";
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
    });
    await until(() => server.scheduler.stats.running === 0, "its generation has ended although it has not read");
    socket.on("data", (data) => {
      received += data.toString("latin1");
    });
    socket.resume();
    await new Promise<void>((resolve) => socket.on("close", () => resolve()));
    const events = [...received.matchAll(/data: (\{.*\})/g)].map(([, json]) => JSON.parse(json!));
    expect(events.map(({ choices }) => choices[0].text).join("")).toBe(whole.json.choices[0].text);
    expect(received.endsWith("data: [DONE]\n\n\r\n0\r\n\r\n")).toBe(true);
  });

  it("clients that hang up in the middle of an answer", async () => {
    await besideAGoodClient(async () => {
      const body = JSON.stringify({ ...STORY, max_tokens: 900, stream: true });
      const clients = Array.from({ length: 8 }, () => open());
      for (const { socket } of clients) {
        socket.write(
          `POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: ${body.length}\r\n\r\n${body}`,
        );
      }
      await until(() => clients.every(({ received }) => received().includes("data:")), "first tokens");
      for (const { socket } of clients) socket.resetAndDestroy();
    });
    await until(() => server.scheduler.stats.running === 0, "the requests end");
    expect(server.log.filter(({ level }) => level === "error")).toEqual([]);
  });
});

describe("more requests than may wait", () => {
  it("429, with the time to try again", async () => {
    const small = await startServer({ fake: { stepMs: 5 }, scheduler: { maxRunning: 1, maxWaiting: 2 } });
    const answers = await Promise.all(
      Array.from({ length: 8 }, () => small.post("/v1/completions", { ...STORY, max_tokens: 20 })),
    );
    const refused = answers.filter(({ status }) => status !== 200);
    expect(refused.length).toBeGreaterThan(0);
    for (const { status, json, headers } of refused) {
      expect({ status, type: json.error.type }).toEqual({ status: 429, type: "rate_limit_error" });
      expect(headers.get("retry-after")).toBe("1");
    }
    await small.stop();
  });
});

describe("time", () => {
  it("an answer that takes too long is a 504, or the last event of a stream", async () => {
    const short = await startServer({ fake: { stepMs: 1 }, server: { timeoutMs: 150 } });
    const request = { ...STORY, max_tokens: 4000 };
    expect(await short.post("/v1/completions", request)).toMatchObject({
      status: 504,
      json: { error: { code: "timeout", message: expect.stringContaining("--timeout") } },
    });
    const response = await fetch(`${short.url}/v1/completions`, {
      method: "POST",
      body: JSON.stringify({ ...request, stream: true }),
    });
    expect(response.status).toBe(200);
    const events = (await response.text()).trim().split("\n\n");
    expect(JSON.parse(events.at(-1)!.slice(6)).error.code).toBe("timeout");
    expect(short.scheduler.stats.running).toBe(0);
    expect(short.log.filter(({ level }) => level === "error")).toEqual([]);
    await short.stop();
  });

  it("a text that is not read in time is given up, as is that of a client that left; no other of the request is begun then", async () => {
    const left: unknown[] = [];
    const begun: string[] = [];
    let onAsked = (): void => {};
    const encode = (text: string, _: object, signal?: AbortSignal): Promise<number[]> =>
      new Promise((_resolve, reject) => {
        begun.push(text);
        if (text === "wrong") {
          reject(new TurboQuantError("invalid_argument", "no"));
          return;
        }
        onAsked();
        signal?.addEventListener("abort", () => {
          left.push(signal.reason.status);
          reject(signal.reason);
        });
      });
    const text = { encode, render: () => Promise.resolve("") };
    const own = await startServer({ fake: {}, server: { timeoutMs: 100 }, text });
    const ask = (prompt: string[]) => own.post("/v1/completions", { prompt });
    expect(await ask(["a", "b"])).toMatchObject({ status: 504, json: { error: { code: "timeout" } } });
    expect(left).toEqual([504]);
    expect((await ask(["wrong", "a"])).status).toBe(400);
    expect(begun).toEqual(["a", "wrong"]);
    await own.stop();

    const asked = new Promise<void>((resolve) => {
      onAsked = resolve;
    });
    const patient = await startServer({ fake: {}, text });
    const { socket } = open(patient.port);
    const body = JSON.stringify({ prompt: "a" });
    socket.write(`POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: ${body.length}\r\n\r\n${body}`);
    await asked;
    socket.resetAndDestroy();
    await until(() => left.length === 2, "its text is given up");
    expect(left[1]).toBe(499);
    await patient.stop();
  });
});

describe("templates", () => {
  it("one that refuses the messages, and a model without one", async () => {
    const folder = mkdtempSync(join(tmpdir(), "template-"));
    for (const [name, template, status, text] of [
      ["refuses", "{{ raise_exception('system message must be first') }}", 400, "system message must be first"],
      ["none", null, 400, "no chat template"],
    ] as const) {
      const model = join(folder, name);
      writeFakeCheckpoint(model, { "chat_template.jinja": template });
      const own = await startServer({ model, fake: {} });
      const answer = await own.post(CHAT, { messages: FRANCE });
      expect(answer.status).toBe(status);
      expect(answer.json.error.message).toContain(text);
      expect((await own.post("/v1/completions", { prompt: "Once", max_tokens: 1 })).status).toBe(200);
      await own.stop();
    }
    rmSync(folder, { recursive: true });
  });
});
