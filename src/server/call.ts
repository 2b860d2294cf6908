/** @file One HTTP request on its way through a handler. */
import type { z } from "zod";
import { ApiError } from "./api-error.ts";
import type { CallOptions } from "./generation-call.ts";
import { readBody } from "./read-body.ts";
import type { ServerOptions } from "./server-context.ts";
import type { WireUsage } from "./usage.ts";

/** nginx's number for a client that did not wait for its answer; only in the log and the metrics. */
export const STATUS_CLIENT_LEFT = 499;

export class Call {
  readonly server: ServerOptions;
  readonly request: Request;
  /** Random, shown to the client as X-Request-Id and in the log. */
  readonly id: string;
  /** Seconds since 1970. */
  readonly created = Math.floor(Date.now() / 1000);
  /** Whose turn it is in the queue. */
  client = "";
  readonly #started = performance.now();
  /** As in the route table. */
  readonly #route: string;
  #usage: WireUsage | null = null;

  constructor(server: ServerOptions, request: Request, id: string, route: string) {
    this.server = server;
    this.request = request;
    this.id = id;
    this.#route = route;
  }

  body<T>(schema: z.ZodType<T>): Promise<T> {
    return readBody(this.request, this.server.maxBodyBytes, schema);
  }

  /** The name to answer with. @throws ApiError 404 — another model than the one that is loaded */
  model(asked: string | null | undefined): string {
    const { modelNames } = this.server;
    if (asked === undefined || asked === null || asked === "") return modelNames[0]!;
    if (modelNames.includes(asked)) return asked;
    throw new ApiError(
      404,
      `model ${JSON.stringify(asked.slice(0, 100))}: not here; this server has ${modelNames.join(", ")}`,
      {
        code: "model_not_found",
        param: "model",
      },
    );
  }

  /** What equal seeds need to be equal: the build and the format of the cache. */
  get fingerprint(): string {
    return `turboquant-${this.server.version}-${this.server.llm.decoder.kv.text}`;
  }

  get schedule(): Omit<CallOptions, "options"> {
    const { scheduler, timeoutMs } = this.server;
    return { scheduler, timeoutMs, signal: this.request.signal };
  }

  readonly onUsage = (usage: WireUsage): void => {
    this.#usage = usage;
  };

  onStreamError(error: unknown): void {
    this.server.logger.error({ id: this.id, err: error }, "stream broke off");
  }

  onStreamEnd(hasLeft: boolean): void {
    this.log(hasLeft ? STATUS_CLIENT_LEFT : 200);
  }

  /** One line a request, when it is over. */
  log(status: number): void {
    const { metrics, logger } = this.server;
    metrics.onResponse(this.#route, status);
    const ms = Math.round(performance.now() - this.#started);
    const fields = { id: this.id, method: this.request.method, route: this.#route, status, ms, ...this.#usage };
    if (status >= 500) logger.warn(fields, "request");
    else logger.info(fields, "request");
  }
}
