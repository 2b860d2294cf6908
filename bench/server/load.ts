/** @file Many streaming clients at once: every answer against the same request run alone, times, memory, cache bytes. */
import { draw, median, quantile, randomTokens } from "./prompts.ts";
import { ServerProcess } from "./server-process.ts";
import { type CompletionRequest, type Streamed, stream } from "./stream.ts";

export interface LoadOptions {
  readonly clients: number;
  readonly seconds: number;
  readonly budget: string;
  readonly serve: readonly string[];
  /** Different requests, of which the clients send one after the other. */
  readonly requests: number;
  readonly onProgress: (text: string) => void;
}

/** Prompts of 16 to 271 tokens, answers of 32 to 95; half of them sampled. A quarter begins alike. */
function makeRequests(count: number): CompletionRequest[] {
  const shared = randomTokens(1, 200);
  return Array.from({ length: count }, (_, i) => {
    const own = randomTokens(100 + i, 16 + draw(2, i, 256));
    return {
      prompt: i % 4 === 0 ? [...shared, ...own.slice(0, 60)] : own,
      max_tokens: 32 + draw(3, i, 64),
      temperature: i % 2 === 0 ? 0 : 0.8,
      seed: i,
      ignore_eos: true,
    };
  });
}

/** Time over which the clients arrive. */
const RAMP_MS = 10_000;

interface Memory {
  readonly at: number;
  readonly resident: number;
  readonly kv: number;
}

export async function measureLoad({ clients, seconds, budget, serve, requests: count, onProgress }: LoadOptions) {
  const server = await ServerProcess.start(["--kv-budget", budget, "--parallel", String(clients), ...serve]);
  try {
    const requests = makeRequests(count);
    const expected: string[] = [];
    for (const [i, request] of requests.entries()) {
      expected.push((await stream(server.url, { ...request, cache_prompt: false })).text);
      onProgress(`alone ${i + 1} of ${count}`);
    }
    const results: Streamed[] = [];
    const failures: string[] = [];
    let wrong = 0;
    let sent = 0;
    const started = performance.now();
    const end = started + seconds * 1000;
    const rampMs = Math.min(RAMP_MS, seconds * 100);
    const client = async (number: number): Promise<void> => {
      // They come one after the other: a crowd at the door measures the queue, not the server.
      await new Promise((resolve) => setTimeout(resolve, (number * rampMs) / clients));
      while (performance.now() < end) {
        const which = draw(4, sent++, count);
        try {
          const result = await stream(server.url, requests[which]!);
          results.push(result);
          if (result.text !== expected[which]) wrong++;
        } catch (error) {
          failures.push((error as Error).message);
        }
      }
    };
    const memory: Memory[] = [];
    const watch = setInterval(() => {
      void server.metric("kv_cache_bytes").then((kv) => {
        memory.push({ at: performance.now() - started, resident: server.residentBytes(), kv });
        onProgress(
          `${results.length} answers, ${wrong} wrong, ${failures.length} failed, ${Math.round((end - performance.now()) / 1000)} s left`,
        );
      });
    }, 1000);
    await Promise.all(Array.from({ length: clients }, (_, number) => client(number)));
    clearInterval(watch);
    const elapsed = (performance.now() - started) / 1000;
    // A fifth of the time to fill caches and buffers, a minute at most.
    const settled = memory.filter(({ at }) => at > Math.min(60_000, seconds * 200));
    const [first, last] = [settled[0], settled.at(-1)];
    const ttfts = results.map(({ ttftMs }) => ttftMs);
    return {
      test: "load",
      kv: server.kv,
      clients,
      seconds: Math.round(elapsed),
      answers: results.length,
      wrong_answers: wrong,
      failed_requests: failures.length,
      failures: [...new Set(failures)].slice(0, 5),
      tok_per_s: results.reduce((sum, { completionTokens }) => sum + completionTokens, 0) / elapsed,
      ttft_ms_p50: median(ttfts),
      ttft_ms_p99: quantile(ttfts, 0.99),
      ttft_ratio: quantile(ttfts, 0.99) / median(ttfts),
      resident_bytes_settled: first?.resident ?? Number.NaN,
      resident_bytes_end: last?.resident ?? Number.NaN,
      resident_growth: (last?.resident ?? Number.NaN) / (first?.resident ?? Number.NaN) - 1,
      kv_bytes_most: Math.max(...memory.map(({ kv }) => kv)),
      kv_budget_bytes: server.budgetBytes,
      preemptions: await server.metric("num_preemptions_total"),
      prefix_hit_rate:
        (await server.metric("prefix_cache_hits_total")) / (await server.metric("prefix_cache_queries_total")),
    };
  } finally {
    await server.stop();
  }
}
