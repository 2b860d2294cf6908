/** @file Time to the first token with and without the beginning of the prompt in the cache. */
import { median, randomTokens } from "./prompts.ts";
import { ServerProcess } from "./server-process.ts";
import { stream } from "./stream.ts";

const QUESTION_TOKENS = 20;

export async function measureSharedPrefix(tokens: number, repeats: number, serve: readonly string[]) {
  const server = await ServerProcess.start(["--kv-budget", "512MB", ...serve]);
  try {
    const cold: number[] = [];
    const warm: number[] = [];
    let cached = 0;
    for (let i = 0; i <= repeats; i++) {
      const prefix = randomTokens(2000 + i, tokens);
      const ask = (question: number) =>
        stream(server.url, {
          prompt: [...prefix, ...randomTokens(question, QUESTION_TOKENS)],
          max_tokens: 1,
          temperature: 0,
        });
      const first = await ask(3000 + i);
      const second = await ask(4000 + i);
      // The first round warms the code up.
      if (i === 0) continue;
      cold.push(first.ttftMs);
      warm.push(second.ttftMs);
      cached = second.cachedTokens;
    }
    return {
      test: "shared-prefix",
      kv: server.kv,
      prefix_tokens: tokens,
      question_tokens: QUESTION_TOKENS,
      cached_tokens: cached,
      repeats,
      cold_ttft_ms: median(cold),
      warm_ttft_ms: median(warm),
      ratio: median(cold.map((ms, i) => ms / warm[i]!)),
    };
  } finally {
    await server.stop();
  }
}
