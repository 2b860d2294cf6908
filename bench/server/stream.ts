/** @file One streamed completion as a client sees it. */

export interface CompletionRequest {
  readonly model?: string;
  readonly prompt: string | readonly number[];
  readonly max_tokens: number;
  readonly temperature?: number;
  readonly seed?: number;
  readonly ignore_eos?: boolean;
  readonly cache_prompt?: boolean;
}

export interface Streamed {
  readonly text: string;
  readonly finish: string | null;
  readonly promptTokens: number;
  readonly completionTokens: number;
  readonly cachedTokens: number;
  /** From sending the request to its first event. */
  readonly ttftMs: number;
  readonly totalMs: number;
}

/** @throws Error — a status other than 200, or an error event */
export async function stream(url: string, request: CompletionRequest): Promise<Streamed> {
  const started = performance.now();
  const response = await fetch(`${url}/v1/completions`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ ...request, stream: true, stream_options: { include_usage: true } }),
  });
  if (response.status !== 200) throw new Error(`status ${response.status}: ${(await response.text()).slice(0, 300)}`);
  let text = "";
  let finish: string | null = null;
  let usage = { prompt_tokens: 0, completion_tokens: 0, prompt_tokens_details: { cached_tokens: 0 } };
  let ttftMs = 0;
  let rest = "";
  let isDone = false;
  const decoder = new TextDecoder();
  for await (const part of response.body!) {
    rest += decoder.decode(part as Uint8Array, { stream: true });
    for (let end = rest.indexOf("\n\n"); end >= 0; end = rest.indexOf("\n\n")) {
      const event = rest.slice(0, end);
      rest = rest.slice(end + 2);
      // Routers send comments while they wait.
      if (event.startsWith(":")) continue;
      ttftMs ||= performance.now() - started;
      const data = event.slice("data: ".length);
      if (data === "[DONE]") {
        isDone = true;
        continue;
      }
      const said = JSON.parse(data);
      if (said.error) throw new Error(`error event: ${said.error.message}`);
      if (said.usage) usage = said.usage;
      for (const choice of said.choices) {
        text += choice.text;
        finish = choice.finish_reason ?? finish;
      }
    }
  }
  if (!isDone) throw new Error("the stream ended without [DONE]");
  return {
    text,
    finish,
    promptTokens: usage.prompt_tokens,
    completionTokens: usage.completion_tokens,
    cachedTokens: usage.prompt_tokens_details.cached_tokens,
    ttftMs,
    totalMs: performance.now() - started,
  };
}
