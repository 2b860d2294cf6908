/** @file The engine's end of the way to the sockets: requests come in as messages and answers go out as messages, in order. */
import {
  type AnsweredRequest,
  type RelayedRequest,
  type ToEngine,
  type ToGate,
  WINDOW_BYTES,
} from "./relay-messages.ts";

/** What a request comes with besides itself. */
export interface RequestEnvironment {
  readonly id: string;
  /** The network address of the client. */
  readonly address: string;
}

export interface RelayHandlers {
  fetch(request: Request, env: RequestEnvironment): Response | Promise<Response>;
  /** A request was answered without the engine. */
  onAnswered(request: AnsweredRequest): void;
  /** The answer to a request could not be made, or not be ended. */
  onFault(id: string, error: unknown): void;
}

interface Exchange {
  readonly abort: AbortController;
  /** Bytes that the reader has not taken yet. */
  underWay: number;
  /** Called when the reader has taken some or has gone. */
  onRead: () => void;
}

export class Relay {
  readonly #port: MessagePort;
  readonly #handlers: RelayHandlers;
  readonly #exchanges = new Map<string, Exchange>();

  constructor(port: MessagePort, handlers: RelayHandlers) {
    this.#port = port;
    this.#handlers = handlers;
    port.onmessage = ({ data }: MessageEvent<ToEngine>) => this.#onMessage(data);
  }

  /** From now on the health check says that this server is about to end. */
  drain(): void {
    this.#post({ kind: "draining" });
  }

  close(): void {
    for (const { abort, onRead } of this.#exchanges.values()) {
      abort.abort();
      onRead();
    }
    this.#exchanges.clear();
    this.#port.close();
  }

  #post(message: ToGate): void {
    this.#port.postMessage(message);
  }

  #onMessage(message: ToEngine): void {
    switch (message.kind) {
      case "request":
        void this.#answer(message);
        return;
      case "answered":
        this.#handlers.onAnswered(message);
        return;
      case "leave": {
        const exchange = this.#exchanges.get(message.id);
        exchange?.abort.abort();
        exchange?.onRead();
        return;
      }
      case "read": {
        const exchange = this.#exchanges.get(message.id);
        if (!exchange) return;
        exchange.underWay -= message.bytes;
        exchange.onRead();
      }
    }
  }

  async #answer({ id, method, url, headers, body, address }: RelayedRequest): Promise<void> {
    const exchange: Exchange = { abort: new AbortController(), underWay: 0, onRead: () => {} };
    this.#exchanges.set(id, exchange);
    const { signal } = exchange.abort;
    try {
      const request = new Request(url, {
        method,
        headers: headers.map(([name, value]): [string, string] => [name, value]),
        signal,
        ...(body && { body }),
      });
      const response = await this.#handlers.fetch(request, { id, address });
      const head = { status: response.status, headers: [...response.headers], hasBody: response.body !== null };
      this.#post({ kind: "head", id, ...head });
      if (response.body) await this.#send(id, response.body.getReader(), exchange);
      this.#post({ kind: "end", id });
    } catch (error) {
      this.#handlers.onFault(id, error);
      this.#post({ kind: "broken", id });
    } finally {
      this.#exchanges.delete(id);
    }
  }

  async #send(id: string, reader: ReadableStreamDefaultReader<Uint8Array>, exchange: Exchange): Promise<void> {
    const { signal } = exchange.abort;
    const onLeave = (): void => void reader.cancel().catch((error: unknown) => this.#handlers.onFault(id, error));
    signal.addEventListener("abort", onLeave, { once: true });
    if (signal.aborted) onLeave();
    try {
      for (;;) {
        const { done, value } = await reader.read();
        if (done) return;
        this.#post({ kind: "body", id, bytes: value });
        exchange.underWay += value.length;
        while (exchange.underWay > WINDOW_BYTES && !signal.aborted) {
          await new Promise<void>((resolve) => {
            exchange.onRead = resolve;
          });
        }
      }
    } finally {
      signal.removeEventListener("abort", onLeave);
    }
  }
}
