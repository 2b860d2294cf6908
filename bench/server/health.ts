/** @file How long `/health` takes while the server is busy with one request, of the kinds that take longest to read or to refuse. */
import { ServerProcess } from "./server-process.ts";

/** How much longer than idle an answer may take. */
const ALLOWED_MS = 50;
const EVERY_MS = 5;
const IDLE_MS = 3000;
const ROUNDS = 3;

const chat = (content: string, more = ""): string => `{"messages":[{"role":"user","content":"${content}"}]${more}}`;
const MESSAGE = '{"role":"user","content":"x"}';

/** Name, route, body: each at most 16 MiB. */
const REQUESTS: readonly (readonly [string, string, () => string])[] = [
  ["a name of 1 MB", "/v1/chat/completions", () => chat("x", `,"${"a".repeat(1 << 20)}":1`)],
  ["one word of 1 MB", "/tokenize", () => JSON.stringify({ content: "qzxjvk".repeat(175_000) })],
  ["words of 4 MB", "/tokenize", () => JSON.stringify({ content: "the old mill ".repeat(320_000) })],
  ["words of 16 MB", "/tokenize", () => JSON.stringify({ content: "the old mill ".repeat(1_280_000) })],
  ["500,000 prompts", "/v1/completions", () => JSON.stringify({ prompt: Array(500_000).fill("hello world") })],
  ["100,000 messages", "/v1/chat/completions", () => `{"messages":[${Array(100_000).fill(MESSAGE).join(",")}]}`],
  ["120,000 biases", "/v1/chat/completions", () => chat("x", `,"logit_bias":{${biases(120_000)}}`)],
  ["900,000 biases", "/v1/chat/completions", () => chat("x", `,"logit_bias":{${biases(900_000)}}`)],
  ["1,000,000 tokens", "/detokenize", () => JSON.stringify({ tokens: Array(1_000_000).fill(300) })],
  ["a message of 16 MB", "/v1/chat/completions", () => chat("word ".repeat(3_350_000))],
  ["16 MB of brackets", "/v1/chat/completions", () => "[".repeat(16 << 20)],
  [
    "3,000 tokens, read and continued",
    "/v1/completions",
    () => JSON.stringify({ prompt: Array.from({ length: 3000 }, (_, i) => 300 + (i % 3000)), max_tokens: 32 }),
  ],
];

const biases = (count: number): string => Array.from({ length: count }, (_, i) => `"${i}":1`).join(",");

/** Asks one after the other until `isOver`. returns: the longest time, and the median */
async function ask(url: string, isOver: () => boolean): Promise<{ longest: number; median: number }> {
  const times: number[] = [];
  do {
    const started = performance.now();
    const response = await fetch(`${url}/health`);
    await response.arrayBuffer();
    if (response.status !== 200) throw new Error(`/health: status ${response.status}`);
    times.push(performance.now() - started);
    await new Promise((resolve) => setTimeout(resolve, EVERY_MS));
  } while (!isOver());
  times.sort((a, b) => a - b);
  return { longest: times.at(-1)!, median: times[times.length >> 1]! };
}

export async function measureHealth(serve: readonly string[]) {
  const server = await ServerProcess.start(serve);
  try {
    const until = performance.now() + IDLE_MS;
    const idle = await ask(server.url, () => performance.now() > until);
    const delays: Record<string, number> = {};
    for (const [name, path, make] of REQUESTS) {
      const bytes = new TextEncoder().encode(make());
      // The least of several rounds: what the server causes comes again, what other programs cause does not.
      let least = Number.POSITIVE_INFINITY;
      for (let round = 0; round < ROUNDS; round++) {
        let isOver = false;
        const request = fetch(server.url + path, {
          method: "POST",
          headers: { "content-type": "application/json" },
          body: bytes,
        })
          .then(async (response) => {
            await response.arrayBuffer();
            if (response.status >= 500) throw new Error(`${name}: status ${response.status}`);
          })
          // One that is refused before it has arrived is cut off.
          .catch((error: Error) => {
            if (
              !["EPIPE", "ECONNRESET", "UND_ERR_SOCKET"].includes(
                (error.cause as NodeJS.ErrnoException | undefined)?.code ?? "",
              )
            )
              throw error;
          })
          .finally(() => {
            isOver = true;
          });
        const [busy] = await Promise.all([ask(server.url, () => isOver), request]);
        least = Math.min(least, busy.longest - idle.longest);
      }
      delays[name] = Math.round(Math.max(0, least) * 10) / 10;
    }
    return {
      measurement: "health",
      idle_ms_median: Math.round(idle.median * 10) / 10,
      idle_ms_longest: Math.round(idle.longest * 10) / 10,
      allowed_delay_ms: ALLOWED_MS,
      worst_delay_ms: Math.max(...Object.values(delays)),
      delay_ms: delays,
    };
  } finally {
    await server.stop();
  }
}
