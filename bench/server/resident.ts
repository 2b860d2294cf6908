/** @file How many conversations stay in the cache at the same budget. */
import { randomTokens } from "./prompts.ts";
import { ServerProcess } from "./server-process.ts";
import { stream } from "./stream.ts";

interface WireSlot {
  readonly n_tokens: number;
}

/** Holds conversations of `tokens` tokens until more of them push the oldest out; counts those that can be continued. */
export async function measureResident(kv: string, budget: string, tokens: number, serve: readonly string[]) {
  const server = await ServerProcess.start(["--kv", kv, "--kv-budget", budget, "--parallel", "512", ...serve]);
  try {
    let resident = 0;
    let conversations = 0;
    // Until a round brings no more: the oldest go as the newest come.
    for (let before = -1; resident > before || conversations < 8; ) {
      before = resident;
      for (let i = 0; i < 8; i++) {
        await stream(server.url, {
          prompt: randomTokens(1000 + conversations++, tokens - 1),
          max_tokens: 2,
          temperature: 0,
          ignore_eos: true,
        });
      }
      const slots = (await (await fetch(`${server.url}/slots`)).json()) as WireSlot[];
      resident = slots.filter(({ n_tokens }) => n_tokens >= tokens).length;
    }
    // The newest one is asked on: what counts as resident must be found.
    const last = randomTokens(1000 + conversations - 1, tokens - 1);
    const next = await stream(server.url, { prompt: [...last, ...randomTokens(9, 40)], max_tokens: 1, temperature: 0 });
    return {
      test: "resident",
      kv,
      kv_budget_bytes: server.budgetBytes,
      tokens,
      conversations: resident,
      bytes_a_conversation: (await server.metric("kv_cache_bytes")) / resident,
      cached_tokens_of_next: next.cachedTokens,
    };
  } finally {
    await server.stop();
  }
}
