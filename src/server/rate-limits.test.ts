/** @file Requests and tokens a minute: by a clock of the test's, and over HTTP. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startServer, type TestServer, until } from "../../test/support/server.ts";
import { RATE_HEADERS, RateLimits } from "./rate-limits.ts";

let now = 0;
const limits = (limit: ConstructorParameters<typeof RateLimits>[0]) => new RateLimits(limit, () => now);
const refusal = (rates: RateLimits, client: string): { status: number; message: string; wait: string } | null => {
  try {
    rates.admit(client);
    return null;
  } catch (error) {
    const { status, message, headers } = error as { status: number; message: string; headers: Record<string, string> };
    return { status, message, wait: headers["retry-after"]! };
  }
};

describe("limits", () => {
  it("requests of a minute may come at once, then as they fill up; clients are apart", () => {
    const rates = limits({ requests: 3 });
    for (let i = 0; i < 3; i++) expect(refusal(rates, "a")).toBeNull();
    expect(refusal(rates, "a")).toEqual({
      ...{ status: 429, wait: "20" },
      message: "rate limit: more than 3 requests a minute; try again in 20 s",
    });
    for (const name of Object.keys(limits({ requests: 1, tokens: 1 }).headers("a")))
      expect(RATE_HEADERS).toContain(name);
    expect(rates.headers("a")).toEqual({
      "x-ratelimit-limit-requests": "3",
      "x-ratelimit-remaining-requests": "0",
      "x-ratelimit-reset-requests": "60s",
    });
    expect(refusal(rates, "b")).toBeNull();
    now += 19_000;
    expect(refusal(rates, "a")?.wait).toBe("1");
    now += 1_000;
    expect(refusal(rates, "a")).toBeNull();
    expect(refusal(rates, "a")?.wait).toBe("20");
    now += 600_000;
    for (let i = 0; i < 3; i++) expect(refusal(rates, "a")).toBeNull();
    expect(refusal(rates, "a"), "what was not used does not add up beyond a minute").not.toBeNull();
  });

  it("tokens that a request may come to are held, and the rest is given back; what is overdrawn fills up first", () => {
    const rates = limits({ tokens: 600 });
    const left = () => rates.headers("a")["x-ratelimit-remaining-tokens"];
    expect(refusal(rates, "a")).toBeNull();
    const first = rates.reserve("a", 599);
    expect(refusal(rates, "a"), "one is left").toBeNull();
    const second = rates.reserve("a", 100);
    const message = "rate limit: more than 600 tokens a minute; try again in 10 s";
    expect(refusal(rates, "a")).toEqual({ status: 429, wait: "10", message });
    expect(() => rates.reserve("a", 1), "let in before the others took theirs").toThrow(message);
    expect(refusal(rates, "b")).toBeNull();
    first.use(90);
    expect(left(), "until all of it is over").toBe("0");
    first.use(10);
    first.end();
    first.end();
    expect(left()).toBe("400");
    second.use(130);
    second.end();
    expect(left(), "more than was held is charged as well").toBe("370");
    second.use(20);
    expect(left(), "and what a request comes to after its end").toBe("350");
    rates.reserve("a", 949);
    expect(refusal(rates, "a")?.wait).toBe("60");
    now += 60_000;
    expect(refusal(rates, "a")).toBeNull();
  });

  it("of many addresses those that asked last are remembered", () => {
    const rates = limits({ requests: 1 });
    expect(refusal(rates, "first")).toBeNull();
    for (let i = 0; i < 9_999; i++) rates.admit(`address ${i}`);
    expect(refusal(rates, "first"), "still known").not.toBeNull();
    rates.admit("one more");
    expect(refusal(rates, "address 0")).toBeNull();
  });
});

describe("over HTTP", () => {
  let server: TestServer;
  const ALICE = { authorization: "Bearer alice" };
  const BOB = { authorization: "Bearer bob" };
  const ask = { prompt: [1, 2, 3], max_tokens: 5, ignore_eos: true };
  beforeAll(async () => {
    const rates = limits({ requests: 4, tokens: 60 });
    server = await startServer({ fake: { stepMs: 1 }, server: { apiKeys: ["alice", "bob"], rates } });
  });
  afterAll(() => server.stop());

  it("a key's requests and tokens count, whichever route they come by; what only reports is free", async () => {
    const first = await server.post("/v1/completions", { ...ask, n: 2 }, ALICE);
    expect(first.status).toBe(200);
    expect(first.headers.get("x-ratelimit-remaining-requests")).toBe("3");
    expect(first.headers.get("x-ratelimit-remaining-tokens"), "3 of the prompt, and twice 5").toBe("47");
    const embedded = await server.post("/v1/embeddings", { input: [[1, 2], [3]] }, ALICE);
    expect(embedded.headers.get("x-ratelimit-remaining-tokens")).toBe("44");
    expect((await server.post("/v1/completions", { prompt: "" }, ALICE)).status, "counts as well").toBe(400);
    expect((await fetch(`${server.url}/v1/models`, { headers: ALICE })).headers.has("x-ratelimit-limit-requests")).toBe(
      false,
    );
    const chat = { messages: [{ role: "user", content: "a" }], max_tokens: 1 };
    expect((await server.post("/v1/chat/completions", chat, ALICE)).status).toBe(200);
    const { status, json, headers } = await server.post("/v1/completions", ask, ALICE);
    expect({ status, wait: headers.get("retry-after") }).toEqual({ status: 429, wait: "15" });
    expect(json.error).toMatchObject({ type: "rate_limit_error", code: "rate_limit_exceeded" });
    expect((await server.post("/v1/completions", ask, BOB)).status).toBe(200);
  });

  it("requests that are under way together stay within the limit", async () => {
    now += 600_000;
    const asked = Array.from({ length: 3 }, () => server.post("/v1/completions", { ...ask, max_tokens: 57 }, BOB));
    const answers = await Promise.all(asked);
    expect(answers.map(({ status }) => status).sort()).toEqual([200, 429, 429]);
  });

  it("what is no route is free", async () => {
    now += 600_000;
    for (let i = 0; i < 5; i++) expect((await server.post("/v1/nothing", {}, ALICE)).status).toBe(404);
    const { headers } = await server.post("/tokenize", { content: "a" }, ALICE);
    expect(headers.get("x-ratelimit-remaining-requests")).toBe("3");
  });

  it("a client that leaves pays for what was made, and for no more", async () => {
    now += 600_000;
    const stop = new AbortController();
    const body = JSON.stringify({ ...ask, max_tokens: 2000, stream: true });
    const { body: stream } = await fetch(`${server.url}/v1/completions`, {
      ...{ method: "POST", headers: { ...BOB, "content-type": "application/json" }, body, signal: stop.signal },
    });
    const reader = stream!.getReader();
    await reader.read();
    stop.abort();
    await until(() => server.scheduler.stats.running === 0, "its generation has ended");
    const { status, headers } = await server.post("/v1/completions", { ...ask, max_tokens: 1 }, BOB);
    expect(status, "what was not made is given back").toBe(200);
    expect(Number(headers.get("x-ratelimit-remaining-tokens"))).toBeLessThan(60 - 3 - 4);
  });
});
