/**
 * @file What stands between the sockets and the engine, in a thread of its own: it answers the health check, receives bodies, refuses
 * what need not be received, and hands the rest on. It computes nothing that grows with a request besides copying it.
 */
import { checkHost, checkKey, corsHeaders } from "./access.ts";
import { ApiError, shuttingDown, toApiError } from "./api-error.ts";
import { BodyReader } from "./body-bytes.ts";
import { READ_STEP, type ToEngine, type ToGate } from "./relay-messages.ts";

export interface GateOptions {
  readonly apiKeys: readonly string[];
  readonly corsOrigins: readonly string[];
  readonly hosts: readonly string[] | null;
  readonly maxBodyBytes: number;
}

/** A request that the engine is working on. */
interface Exchange {
  readonly onResponse: (response: Response) => void;
  readonly onError: (error: Error) => void;
  stream: ReadableStreamDefaultController<Uint8Array> | null;
  /** Bytes of the answer that came, and those that the engine was told to have been read. */
  received: number;
  told: number;
}

/** Bytes of an answer that wait here for the socket. */
const QUEUED_BYTES = 64 << 10;

export class Gate {
  readonly #port: MessagePort;
  readonly #options: GateOptions;
  readonly #bodies: BodyReader;
  readonly #exchanges = new Map<string, Exchange>();
  #isDraining = false;

  constructor(port: MessagePort, options: GateOptions) {
    this.#port = port;
    this.#options = options;
    this.#bodies = new BodyReader(options.maxBodyBytes);
    port.onmessage = ({ data }: MessageEvent<ToGate>) => this.#onMessage(data);
  }

  /** address: the client's */
  async fetch(request: Request, address: string): Promise<Response> {
    const id = crypto.randomUUID().replaceAll("-", "").slice(0, 24);
    const started = performance.now();
    let cors: Record<string, string> = {};
    let response: Response;
    let route = "*";
    try {
      const isHealth = isGet(request.method) && new URL(request.url).pathname === "/health";
      if (!isHealth && isGet(request.method)) return await this.#relay(id, request, null, address);
      if (request.method === "OPTIONS") return await this.#relay(id, request, null, address);
      const { headers } = request;
      const host = headers.get("host") ?? undefined;
      checkHost(host, this.#options.hosts);
      cors = corsHeaders(headers.get("origin") ?? undefined, host, this.#options.corsOrigins);
      if (!isHealth) {
        // The engine's thread checks all of it again, for the route that it finds; this one is about what is received at all.
        await checkKey(headers.get("authorization") ?? undefined, this.#options.apiKeys);
        const body = await this.#bodies.read(request);
        return await this.#relay(id, request, body, address);
      }
      route = "/health";
      response = Response.json(
        { status: this.#isDraining ? "shutting down" : "ok" },
        { status: this.#isDraining ? 503 : 200 },
      );
    } catch (error) {
      response = toApiError(error).toResponse();
    }
    for (const [name, value] of Object.entries(cors)) response.headers.set(name, value);
    response.headers.set("x-request-id", id);
    const ms = Math.round(performance.now() - started);
    this.#post({ kind: "answered", id, method: request.method, route, status: response.status, ms });
    return response;
  }

  /** Ends what is still waiting: the engine is gone. */
  close(): void {
    const error = shuttingDown();
    for (const { onError, stream } of this.#exchanges.values()) {
      onError(error);
      stream?.error(error);
    }
    this.#exchanges.clear();
    this.#port.close();
  }

  #post(message: ToEngine, transfer: Transferable[] = []): void {
    this.#port.postMessage(message, transfer);
  }

  async #relay(id: string, request: Request, body: Uint8Array<ArrayBuffer> | null, address: string): Promise<Response> {
    const { method, url, headers, signal } = request;
    return await new Promise<Response>((resolve, reject) => {
      this.#exchanges.set(id, { onResponse: resolve, onError: reject, stream: null, received: 0, told: 0 });
      const leave = (): void => this.#leave(id);
      signal.addEventListener("abort", leave, { once: true });
      if (signal.aborted) leave();
      this.#post({ kind: "request", id, method, url, headers: [...headers], body, address }, body ? [body.buffer] : []);
    });
  }

  #answerStream(id: string, exchange: Exchange): ReadableStream<Uint8Array> {
    return new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          exchange.stream = controller;
        },
        pull: (controller) => {
          const waiting = QUEUED_BYTES - (controller.desiredSize ?? 0);
          const bytes = exchange.received - exchange.told - waiting;
          if (bytes < READ_STEP) return;
          exchange.told += bytes;
          this.#post({ kind: "read", id, bytes });
        },
        cancel: () => this.#leave(id),
      },
      new ByteLengthQueuingStrategy({ highWaterMark: QUEUED_BYTES }),
    );
  }

  #leave(id: string): void {
    const exchange = this.#exchanges.get(id);
    if (!exchange) return;
    this.#exchanges.delete(id);
    this.#post({ kind: "leave", id });
    exchange.onError(new ApiError(499, "the client has gone"));
  }

  #onMessage(message: ToGate): void {
    if (message.kind === "draining") {
      this.#isDraining = true;
      return;
    }
    const exchange = this.#exchanges.get(message.id);
    if (!exchange) return;
    switch (message.kind) {
      case "head": {
        const { status, hasBody } = message;
        const headers = message.headers.map(([name, value]): [string, string] => [name, value]);
        exchange.onResponse(
          new Response(hasBody ? this.#answerStream(message.id, exchange) : null, { status, headers }),
        );
        return;
      }
      case "body":
        exchange.received += message.bytes.length;
        exchange.stream?.enqueue(message.bytes);
        return;
      case "end":
        exchange.stream?.close();
        break;
      case "broken":
        exchange.onError(new ApiError(500, "internal error; the server's log has the details", { code: "internal" }));
        exchange.stream?.error(new Error("the answer broke off"));
    }
    this.#exchanges.delete(message.id);
  }
}

const isGet = (method: string): boolean => method === "GET" || method === "HEAD";
