/** @file Tokens a second of one stream and of several at once. */
import { median, randomTokens } from "./prompts.ts";
import { ServerProcess } from "./server-process.ts";
import { stream } from "./stream.ts";

const PROMPT_TOKENS = 64;

/** answerTokens: of each stream · serve: options of `turboquant serve` */
export async function measureBatching(
  streams: number,
  repeats: number,
  answerTokens: number,
  serve: readonly string[],
) {
  const server = await ServerProcess.start(["--kv-budget", "512MB", ...serve]);
  try {
    const run = async (count: number): Promise<number> => {
      const started = performance.now();
      const one = (i: number) =>
        stream(server.url, {
          prompt: randomTokens(5000 + i, PROMPT_TOKENS),
          max_tokens: answerTokens,
          temperature: 0,
          ignore_eos: true,
          cache_prompt: false,
        });
      await Promise.all(Array.from({ length: count }, (_, i) => one(i)));
      return (count * answerTokens * 1000) / (performance.now() - started);
    };
    await run(1);
    await run(streams);
    const single: number[] = [];
    const together: number[] = [];
    // Alternating, so that noise hits both.
    for (let i = 0; i < repeats; i++) {
      single.push(await run(1));
      together.push(await run(streams));
    }
    return {
      test: "batching",
      model: await server.model(),
      kv: server.kv,
      streams,
      answer_tokens: answerTokens,
      repeats,
      single_tok_per_s: median(single),
      batch_tok_per_s: median(together),
      ratio: median(together.map((rate, i) => rate / single[i]!)),
    };
  } finally {
    await server.stop();
  }
}
