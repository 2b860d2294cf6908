/**
 * @file What stands between the sockets and the engine, in a thread of its own: it answers the health check and preflight requests,
 * receives bodies, refuses what need not be received, and hands the rest on. It computes nothing that grows with a request besides copying it.
 */
import { addCors, checkHost, checkKey, corsHeaders } from "./access.ts";
import { ApiError, clientLeft, methodNotAllowed, setRequestId, shuttingDown, toApiError } from "./api-error.ts";
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

/** Of all routes together. */
const METHODS = ["GET", "HEAD", "POST", "DELETE", "OPTIONS"];

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
    let fault: string | undefined;
    try {
      const { method, headers } = request;
      const { pathname } = new URL(request.url);
      if (!METHODS.includes(method)) throw methodNotAllowed(method, pathname, METHODS);
      if (pathname === "/health") route = pathname;
      else if (isGet(method)) return await this.#relay(id, request, null, address);
      const host = headers.get("host") ?? undefined;
      checkHost(host, this.#options.hosts);
      const wanted = method === "OPTIONS" ? headers.get("access-control-request-headers") : null;
      cors = corsHeaders(headers.get("origin") ?? undefined, host, this.#options.corsOrigins, wanted);
      if (method === "OPTIONS") response = new Response(null, { status: 204 });
      else if (route === "*") {
        // The engine's thread checks all of it again, for the route that it finds; this one is about what is received at all.
        await checkKey(headers, this.#options.apiKeys);
        const body = await this.#bodies.read(request);
        return await this.#relay(id, request, body, address);
      } else response = this.#health(method);
    } catch (error) {
      const apiError = toApiError(error);
      response = apiError.toResponse(new URL(request.url).pathname, id);
      if (apiError.status === 500) fault = error instanceof Error ? error.stack : String(error);
    }
    addCors(response, cors);
    setRequestId(response, new URL(request.url).pathname, id);
    const ms = Math.round(performance.now() - started);
    const { status } = response;
    this.#post({ kind: "answered", id, method: request.method, route, status, ms, ...(fault && { fault }) });
    return response;
  }

  #health(method: string): Response {
    if (!isGet(method)) throw methodNotAllowed(method, "/health", ["GET", "HEAD", "OPTIONS"]);
    const status = this.#isDraining ? "shutting down" : "ok";
    return Response.json({ status }, { status: this.#isDraining ? 503 : 200 });
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
    if (signal.aborted) throw clientLeft();
    return await new Promise<Response>((resolve, reject) => {
      this.#exchanges.set(id, { onResponse: resolve, onError: reject, stream: null, received: 0, told: 0 });
      signal.addEventListener("abort", () => this.#leave(id), { once: true });
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
    // Nobody reads it; the engine's thread logs the request.
    exchange.onResponse(clientLeft().toResponse("", id));
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
