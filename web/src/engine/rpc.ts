/** @file The page's side of the worker protocol: calls as promises, with events and an AbortSignal. */
import workerUrl from "virtual:engine-worker";
import { inPageWords } from "./page-words.ts";
import type { CallName, Calls, FromWorker, PlainError, ToWorker } from "./protocol.ts";

/** An error of the engine, as the page shows it. */
export class EngineError extends Error {
  override readonly name = "EngineError";
  /** A code of `TurboQuantError`, or `aborted`. */
  readonly code: string;

  constructor({ code, message }: PlainError) {
    super(message);
    this.code = code;
  }
}

export const plainError = (error: unknown): PlainError =>
  error instanceof EngineError
    ? { code: error.code, message: error.message }
    : { code: "internal", message: error instanceof Error ? error.message : String(error) };

interface Pending {
  readonly onEvent: (event: unknown) => void;
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: Error) => void;
}

export interface CallOptions<N extends CallName> {
  readonly onEvent?: (event: Calls[N]["event"]) => void;
  readonly signal?: AbortSignal | undefined;
}

export class EngineRpc {
  readonly #worker: Worker;
  readonly #pending = new Map<number, Pending>();
  #nextId = 1;

  constructor() {
    this.#worker = new Worker(workerUrl, { type: "module", name: "engine" });
    this.#worker.onmessage = ({ data }: MessageEvent<FromWorker>) => this.#receive(data);
    this.#worker.onerror = (event) => {
      event.preventDefault();
      this.#failAll(new EngineError({ code: "internal", message: `the engine's worker failed: ${event.message}` }));
    };
  }

  call<N extends CallName>(
    call: N,
    argument: Calls[N]["argument"],
    { onEvent, signal }: CallOptions<N> = {},
  ): Promise<Calls[N]["result"]> {
    const id = this.#nextId++;
    const abort = (): void => this.#post({ id, abort: true });
    return new Promise<Calls[N]["result"]>((resolve, reject) => {
      this.#pending.set(id, {
        onEvent: onEvent as (event: unknown) => void,
        resolve: resolve as (result: unknown) => void,
        reject,
      });
      signal?.addEventListener("abort", abort);
      this.#post({ id, call, argument });
      if (signal?.aborted) abort();
    }).finally(() => signal?.removeEventListener("abort", abort));
  }

  terminate(): void {
    this.#worker.terminate();
    this.#failAll(new EngineError({ code: "aborted", message: "the engine was stopped" }));
  }

  #post(message: ToWorker): void {
    this.#worker.postMessage(message);
  }

  #receive(data: FromWorker): void {
    const pending = this.#pending.get(data.id);
    if (!pending) return;
    if ("event" in data) {
      pending.onEvent?.(data.event);
      return;
    }
    this.#pending.delete(data.id);
    if ("error" in data) pending.reject(new EngineError({ ...data.error, message: inPageWords(data.error.message) }));
    else pending.resolve(data.result);
  }

  #failAll(error: EngineError): void {
    for (const { reject } of this.#pending.values()) reject(error);
    this.#pending.clear();
  }
}
