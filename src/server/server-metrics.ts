/** @file The server's metrics under the names vLLM uses, so that dashboards for vLLM work with another prefix. */
import type { RequestReport, SchedulerObserver, SchedulerStats } from "../engine/scheduler/observer.ts";
import { PAGE_TOKENS } from "../quant/page-layout.ts";
import { PageStoreMetrics } from "./page-store-metrics.ts";
import { type Counter, type Histogram, Registry } from "./prometheus.ts";

const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300];
/** Names that vLLM had before; routers still ask for them (docs/fleet.md). */
const OLDER = "By its older name:";
const TOKENS = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000, 100000];

/** What one model's scheduler and requests come to. */
export class ModelMetrics implements SchedulerObserver {
  readonly #registry: Registry;
  readonly #kv: string;
  readonly #promptTokens: Counter;
  readonly #generationTokens: Counter;
  readonly #prefixQueries: Counter;
  readonly #prefixHits: Counter;
  readonly #drafts: Counter;
  readonly #draftTokens: Counter;
  readonly #acceptedTokens: Counter;
  readonly #acceptedPerPosition: Counter;
  readonly #preemptions: Counter;
  readonly #finished: Counter;
  readonly #http: Counter;
  readonly #firstToken: Histogram;
  readonly #nextToken: Histogram;
  readonly #total: Histogram;
  readonly #queue: Histogram;
  readonly #prefill: Histogram;
  readonly #decode: Histogram;
  readonly #promptLength: Histogram;
  readonly #outputLength: Histogram;
  readonly #stepRows: Histogram;
  readonly #stepTime: Histogram;
  #pageStore: PageStoreMetrics | null = null;

  /** registry: puts the model's name on each line */
  constructor(registry: Registry, kv: string) {
    this.#registry = registry;
    this.#kv = kv;
    this.#promptTokens = registry.counter("prompt_tokens_total", "Prompt tokens of finished requests.");
    this.#generationTokens = registry.counter("generation_tokens_total", "Generated tokens.");
    this.#prefixQueries = registry.counter(
      "prefix_cache_queries_total",
      "Prompt tokens looked up among kept prefixes.",
    );
    this.#prefixHits = registry.counter("prefix_cache_hits_total", "Prompt tokens found among kept prefixes.");
    const share = (): number => this.#prefixHits.total / (this.#prefixQueries.total || 1);
    for (const [name, read] of [
      ["queries_total", () => this.#prefixQueries.total],
      ["hits_total", () => this.#prefixHits.total],
    ] as const) {
      registry.reading(`gpu_prefix_cache_${name}`, `${OLDER} prefix_cache_${name}.`, read);
    }
    registry.gauge("gpu_prefix_cache_hit_rate", "Share of these tokens that was found, 0 to 1.", share);
    this.#drafts = registry.counter("spec_decode_num_drafts_total", "Steps of a sequence that had drafted tokens.");
    this.#draftTokens = registry.counter("spec_decode_num_draft_tokens_total", "Drafted tokens.");
    this.#acceptedTokens = registry.counter(
      "spec_decode_num_accepted_tokens_total",
      "Drafted tokens that became part of an answer.",
    );
    this.#acceptedPerPosition = registry.counter(
      "spec_decode_num_accepted_tokens_per_pos_total",
      "The same by their place in the draft, from 0.",
    );
    this.#preemptions = registry.counter("num_preemptions_total", "Sequences whose pages were taken away for others.");
    this.#finished = registry.counter("request_success_total", "Finished requests by reason.");
    this.#http = httpCounter(registry);
    this.#firstToken = registry.histogram("time_to_first_token_seconds", "From arrival to the first token.", SECONDS);
    this.#nextToken = registry.histogram("inter_token_latency_seconds", "Between two tokens of a sequence.", SECONDS);
    this.#total = registry.histogram("e2e_request_latency_seconds", "From arrival to the last token.", SECONDS);
    this.#queue = registry.histogram("request_queue_time_seconds", "From arrival to the first step.", SECONDS);
    this.#prefill = registry.histogram(
      "request_prefill_time_seconds",
      "From the first step to the first token.",
      SECONDS,
    );
    this.#decode = registry.histogram("request_decode_time_seconds", "From the first token to the last.", SECONDS);
    this.#promptLength = registry.histogram("request_prompt_tokens", "Prompt tokens of a request.", TOKENS);
    this.#outputLength = registry.histogram("request_generation_tokens", "Generated tokens of a request.", TOKENS);
    this.#stepRows = registry.histogram("iteration_tokens_total", "Tokens of a step.", TOKENS);
    this.#stepTime = registry.histogram("iteration_seconds", "Time of a step.", SECONDS);
  }

  /** Adds metrics whose values are read from the scheduler when the text is made. */
  watch(read: () => SchedulerStats): void {
    const registry = this.#registry;
    registry.gauge("num_requests_running", "Sequences that are computed.", () => read().running);
    registry.gauge("num_requests_waiting", "Requests in the queue.", () => read().waiting);
    registry.gauge("num_requests_swapped", "Preempted sequences.", () => read().preempted);
    const usage = (): number => {
      const { kvBytes, kvBudgetBytes } = read();
      return Number.isFinite(kvBudgetBytes) && kvBudgetBytes > 0 ? kvBytes / kvBudgetBytes : 0;
    };
    registry.gauge(
      "kv_cache_usage_perc",
      "Share of the KV budget in use by running sequences and kept prefixes, 0 to 1.",
      usage,
    );
    registry.gauge("gpu_cache_usage_perc", `${OLDER} kv_cache_usage_perc.`, usage);
    registry.gauge(
      "cache_config_info",
      "KV format of this server, and how many blocks of as many tokens its budget holds.",
      () => 1,
      () => {
        const { budgetPages } = read();
        const blocks: Record<string, string> = Number.isFinite(budgetPages)
          ? { num_gpu_blocks: String(budgetPages) }
          : {};
        return { kv_cache_dtype: this.#kv, block_size: String(PAGE_TOKENS), ...blocks };
      },
    );
    registry.gauge("kv_cache_bytes", "Bytes of all KV pages, as allocated.", () => read().kvBytes);
    registry.gauge("kv_cache_budget_bytes", "Most bytes of KV pages.", () => read().kvBudgetBytes);
    registry.gauge("kv_cache_swapped_bytes", "Bytes of preempted sequences.", () => read().savedBytes);
    registry.gauge("prefix_cache_entries", "Kept prefixes.", () => read().prefixEntries);
    registry.reading("prefix_cache_evictions_total", "Kept prefixes given up for room.", () => read().prefixEvictions);
    registry.reading(
      "kv_pages_coarsened_total",
      "KV pages coded anew in fewer bits because memory was short.",
      () => read().coarsenedPages,
    );
  }

  onStep(rows: number, _decodeRows: number, ms: number): void {
    this.#stepRows.observe(rows);
    this.#stepTime.observe(ms / 1000);
  }

  onFirstToken(sinceArrivalMs: number): void {
    this.#firstToken.observe(sinceArrivalMs / 1000);
    this.#generationTokens.add(1);
  }

  onNextToken(sinceLastMs: number): void {
    this.#nextToken.observe(sinceLastMs / 1000);
    this.#generationTokens.add(1);
  }

  onPrefixLookup(tokens: number, hits: number): void {
    this.#prefixQueries.add(tokens);
    this.#prefixHits.add(hits);
  }

  onDrafts(drafted: number, accepted: number): void {
    this.#drafts.add(1);
    this.#draftTokens.add(drafted);
    this.#acceptedTokens.add(accepted);
    for (let position = 0; position < accepted; position++) {
      this.#acceptedPerPosition.add(1, { position: String(position) });
    }
  }

  onPreemption(): void {
    this.#preemptions.add(1);
  }

  /** Adds the metrics of a shared page store. */
  watchPageStore(read: () => SchedulerStats): void {
    this.#pageStore = new PageStoreMetrics(this.#registry, () => read().storeQueueBytes);
  }

  onStoreFetch(...report: Parameters<PageStoreMetrics["onFetch"]>): void {
    this.#pageStore?.onFetch(...report);
  }

  onStoreWrite(...report: Parameters<PageStoreMetrics["onWrite"]>): void {
    this.#pageStore?.onWrite(...report);
  }

  onFinish(report: RequestReport): void {
    this.#finished.add(1, { finished_reason: report.finishReason === "aborted" ? "abort" : report.finishReason });
    this.#promptTokens.add(report.promptTokens);
    this.#promptLength.observe(report.promptTokens);
    this.#outputLength.observe(report.completionTokens);
    this.#total.observe(report.totalMs / 1000);
    this.#queue.observe(report.queueMs / 1000);
    this.#prefill.observe(report.prefillMs / 1000);
    this.#decode.observe(report.decodeMs / 1000);
  }

  onResponse(route: string, status: number): void {
    this.#http.add(1, { handler: route, status: String(status) });
  }

  /** For a model that comes and goes: whether it is in memory. */
  watchLoads(isLoaded: () => boolean): Counter {
    const registry = this.#registry;
    registry.gauge("model_loaded", "Whether the model is in memory, 0 or 1.", () => Number(isLoaded()));
    return registry.counter("model_loads_total", "Times that the model was loaded, by outcome.");
  }
}

const httpCounter = (registry: Registry): Counter =>
  registry.counter("http_requests_total", "HTTP requests by route and status.");

export interface MetricsOptions {
  /** Prefix of every name; `turboquant:` by default, `vllm:` for dashboards made for vLLM. */
  readonly prefix?: string;
  /** Those that are shown. */
  readonly modelNames: readonly string[];
  readonly kv: string;
}

/** The metrics of all models, each with its name as a label. */
export class ServerMetrics {
  readonly #registry: Registry;
  readonly #models: ReadonlyMap<string, ModelMetrics>;
  /** Of requests that were for no model: one model alone has them all. */
  readonly #others: Pick<ModelMetrics, "onResponse">;

  constructor({ prefix = "turboquant:", modelNames, kv }: MetricsOptions) {
    const registry = new Registry(prefix);
    this.#registry = registry;
    const own = modelNames.map(
      (name) => [name, new ModelMetrics(registry.labelled({ model_name: name }), kv)] as const,
    );
    this.#models = new Map(own);
    if (own.length === 1) this.#others = own[0]![1];
    else {
      const http = httpCounter(registry);
      this.#others = { onResponse: (handler, status) => http.add(1, { handler, status: String(status) }) };
    }
  }

  of(modelName: string): ModelMetrics {
    return this.#models.get(modelName)!;
  }

  /** modelName: of the model that the request was for; absent: none */
  onResponse(route: string, status: number, modelName = ""): void {
    (this.#models.get(modelName) ?? this.#others).onResponse(route, status);
  }

  text(): string {
    return this.#registry.text();
  }
}
