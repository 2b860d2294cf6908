/** @file A server's model over its OpenAI-compatible API: `GET /v1/models`, `POST /v1/chat/completions` with streaming. */
import { ThoughtWriter } from "../prose/thought.ts";
import type { ChatOptions, Engine } from "./engine.ts";
import type { CacheState, ChatRequest, ChatResult, ModelInfo, Sampling } from "./protocol.ts";
import { EngineError } from "./rpc.ts";
import { serverCache, type WireCache } from "./server-cache.ts";
import { readEvents } from "./sse.ts";

export interface ServerAddress {
  /** Without the `/v1`; empty for the page's own origin. */
  readonly url: string;
  readonly apiKey?: string;
}

/** The fields of a streamed chunk that we read; most servers other than ours leave some out. */
interface Chunk {
  readonly choices?: readonly {
    readonly delta?: {
      readonly content?: string | null;
      readonly reasoning_content?: string | null;
      readonly reasoning?: string | null;
    };
    readonly finish_reason?: string | null;
    readonly kv_cache?: WireCache | null;
  }[];
  readonly usage?: {
    readonly prompt_tokens?: number;
    readonly completion_tokens?: number;
    readonly prompt_tokens_details?: { readonly cached_tokens?: number } | null;
  } | null;
  readonly timings?: {
    readonly prompt_per_second?: number;
    readonly predicted_per_second?: number;
    readonly ttft_ms?: number;
  };
  readonly error?: { readonly message?: string };
}

interface Listing {
  readonly id: string;
  readonly max_model_len?: number;
  readonly meta?: { readonly n_layer?: number; readonly kv_cache?: string };
}

/** The longest time a server may take to list its models. */
const LIST_TIMEOUT_MS = 4000;

const base = ({ url }: ServerAddress): string => url.replace(/\/+$/, "").replace(/\/v1$/, "");
const headersOf = ({ apiKey }: ServerAddress): Record<string, string> =>
  apiKey ? { Authorization: `Bearer ${apiKey}` } : {};

/** @throws EngineError — no server, or one that does not speak this API */
export async function listServerModels(address: ServerAddress): Promise<Listing[]> {
  const url = `${base(address)}/v1/models`;
  const response = await fetch(url, {
    headers: headersOf(address),
    signal: AbortSignal.timeout(LIST_TIMEOUT_MS),
  }).catch(() => {
    throw new EngineError({
      code: "unreachable",
      message: `${url} does not answer, or does not allow pages of this origin; start it with: npx turboquant serve`,
    });
  });
  if (response.status === 401 || response.status === 403)
    throw new EngineError({ code: "unauthorized", message: `${url} wants another API key` });
  const list = await response
    .json()
    .then((json: { data?: unknown }) => json.data)
    .catch(() => null);
  if (!response.ok || !Array.isArray(list)) {
    throw new EngineError({
      code: "not_a_server",
      message: `${url} is no OpenAI-compatible API (HTTP ${response.status})`,
    });
  }
  return list as Listing[];
}

function samplingFields({ maxNewTokens, temperature, topK, topP, minP, seed }: Sampling): Record<string, number> {
  const fields = { max_tokens: maxNewTokens, temperature, top_k: topK, top_p: topP, min_p: minP, seed };
  return Object.fromEntries(
    Object.entries(fields).filter((entry): entry is [string, number] => entry[1] !== undefined),
  );
}

export class ServerEngine implements Engine {
  readonly where = "server";
  readonly info: ModelInfo;
  readonly #address: ServerAddress;

  constructor(address: ServerAddress, model: Listing) {
    this.#address = address;
    this.info = {
      name: model.id,
      kv: model.meta?.kv_cache ?? "",
      backend: `server ${base(address) || location.origin}`,
      backendName: "server",
      backendChoice: "",
      numLayers: model.meta?.n_layer ?? 0,
      contextLength: model.max_model_len ?? 0,
      hasChatTemplate: true,
      savesFrom: null,
      kinds: [],
      modelContext: model.max_model_len ?? 0,
      reaches: [],
    };
  }

  async chat(request: ChatRequest, { onEvent, signal }: ChatOptions): Promise<ChatResult> {
    const started = performance.now();
    const response = await fetch(`${base(this.#address)}/v1/chat/completions`, {
      method: "POST",
      headers: { "Content-Type": "application/json", ...headersOf(this.#address) },
      body: JSON.stringify({
        model: this.info.name,
        messages: request.messages,
        stream: true,
        stream_options: { include_usage: true },
        // `info.kv` shows that this is our server. Others may refuse fields that they do not know.
        ...(this.info.kv && { return_kv_cache: true }),
        ...samplingFields(request.sampling),
      }),
      signal,
    }).catch((error: unknown) => {
      throw signal.aborted ? aborted() : lost(this.#address, error);
    });
    if (!response.ok || !response.body) throw await errorOf(response);

    const thoughts = new ThoughtWriter();
    let firstAt = 0;
    let pieces = 0;
    let finish: string | null = null;
    let last: Chunk = {};
    let cache: CacheState | null = null;
    try {
      for await (const data of readEvents(response.body)) {
        if (data === "[DONE]") break;
        const chunk = JSON.parse(data) as Chunk;
        if (chunk.error) throw new EngineError({ code: "server", message: chunk.error.message ?? data });
        const choice = chunk.choices?.[0];
        finish = choice?.finish_reason ?? finish;
        if (chunk.usage || chunk.timings) last = { ...last, ...chunk };
        const report = serverCache(choice?.kv_cache);
        if (report) {
          cache = report;
          onEvent({ type: "cache", cache });
        }
        const { content, reasoning_content, reasoning } = choice?.delta ?? {};
        const text = thoughts.write(reasoning_content ?? reasoning ?? "", content ?? "");
        if (!text) continue;
        firstAt ||= performance.now();
        onEvent({ type: "text", text, tokens: ++pieces });
      }
    } catch (error) {
      if (!signal.aborted) throw error instanceof EngineError ? error : lost(this.#address, error);
      finish = "aborted";
    }
    // When an answer was stopped, this is the cache of the last report.
    return { ...resultOf(last, { started, firstAt, pieces, finish: signal.aborted ? "aborted" : finish }), cache };
  }

  dispose(): void {}
}

const aborted = (): EngineError => new EngineError({ code: "aborted", message: "stopped" });

function lost(address: ServerAddress, cause: unknown): EngineError {
  const why = cause instanceof Error ? cause.message : String(cause);
  const message = `the connection to ${base(address) || "the server"} broke (${why}); what was said is kept, try again`;
  return new EngineError({ code: "connection", message });
}

async function errorOf(response: Response): Promise<EngineError> {
  const body = (await response.json().catch(() => null)) as {
    error?: { message?: string; code?: string | null };
  } | null;
  return new EngineError({
    code: body?.error?.code ?? `http_${response.status}`,
    message: body?.error?.message ?? `the server answered HTTP ${response.status}`,
  });
}

interface Watch {
  readonly started: number;
  readonly firstAt: number;
  readonly pieces: number;
  readonly finish: string | null;
}

/** Usage and timings that the server reports, or else those measured here. */
function resultOf({ usage, timings }: Chunk, { started, firstAt, pieces, finish }: Watch): Omit<ChatResult, "cache"> {
  const end = performance.now();
  const completionTokens = usage?.completion_tokens ?? pieces;
  const decodeMs = firstAt ? end - firstAt : 0;
  const seen = decodeMs > 0 ? ((completionTokens - 1) * 1000) / decodeMs : 0;
  return {
    finishReason: finish === "length" || finish === "aborted" ? finish : "stop",
    usage: {
      promptTokens: usage?.prompt_tokens ?? 0,
      cachedTokens: usage?.prompt_tokens_details?.cached_tokens ?? 0,
      completionTokens,
    },
    timings: {
      ttftMs: timings?.ttft_ms ?? (firstAt || end) - started,
      prefillMs: 0,
      decodeMs,
      prefillTokPerSec: timings?.prompt_per_second ?? 0,
      decodeTokPerSec: timings?.predicted_per_second ?? seen,
    },
  };
}
