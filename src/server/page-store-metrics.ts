/** @file Metrics of a store of pages that several servers share. */
import type { FetchOutcome } from "../engine/page-store/store-observer.ts";
import type { WriteOutcome } from "../engine/page-store/write-queue.ts";
import type { Counter, Histogram, Registry } from "./prometheus.ts";

const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

export class PageStoreMetrics {
  readonly #fetches: Counter;
  readonly #tokens: Counter;
  readonly #readBytes: Counter;
  readonly #seconds: Histogram;
  readonly #writes: Counter;
  readonly #writtenBytes: Counter;

  constructor(registry: Registry, queueBytes: () => number) {
    this.#fetches = registry.counter(
      "page_store_fetches_total",
      "Prompts longer than what is kept of them here, by what the shared store gave: hit, miss, skipped, failed.",
    );
    this.#tokens = registry.counter("page_store_tokens_total", "Prompt tokens fetched from the shared store.");
    this.#readBytes = registry.counter("page_store_read_bytes_total", "Bytes of prefixes from the shared store.");
    this.#seconds = registry.histogram(
      "page_store_fetch_seconds",
      "Time that a request waited for the shared store.",
      SECONDS,
    );
    this.#writes = registry.counter(
      "page_store_writes_total",
      "Values for the shared store: written, present (another server's), dropped, failed.",
    );
    this.#writtenBytes = registry.counter("page_store_written_bytes_total", "Bytes written to the shared store.");
    registry.gauge("page_store_queue_bytes", "Bytes that wait to be written to the shared store.", queueBytes);
  }

  /** As `StoreObserver.onStoreFetch`. */
  onFetch(outcome: FetchOutcome, tokens: number, bytes: number, ms: number): void {
    this.#fetches.add(1, { outcome });
    if (tokens > 0) this.#tokens.add(tokens);
    if (bytes > 0) this.#readBytes.add(bytes);
    if (outcome !== "skipped" || ms > 0) this.#seconds.observe(ms / 1000);
  }

  /** As `StoreObserver.onStoreWrite`. */
  onWrite(outcome: WriteOutcome, bytes: number): void {
    this.#writes.add(1, { outcome });
    if (outcome === "written") this.#writtenBytes.add(bytes);
  }
}
