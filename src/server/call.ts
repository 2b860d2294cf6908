/** @file One HTTP request while a handler works on it. */
import type { z } from "zod";
import type { ScheduleOptions } from "../engine/scheduler/request.ts";
import { assert } from "../errors.ts";
import { ApiError, clientLeft, STATUS_CLIENT_LEFT, toApiError } from "./api-error.ts";
import type { CallOptions } from "./generation-call.ts";
import type { HeldModel, ModelContext } from "./models.ts";
import type { Reservation } from "./rate-limits.ts";
import { readBody } from "./read-body.ts";
import { logRequest } from "./request-log.ts";
import type { ServerOptions } from "./server-context.ts";
import type { WireUsage } from "./usage.ts";

/** Timers of more are over at once. */
const MAX_TIMER_MS = 2 ** 31 - 1;

const timeIsUp = (ms: number): ApiError =>
  new ApiError(
    504,
    `timeout: not finished after ${ms / 1000} s; ask for fewer tokens, or start the server with a larger --timeout`,
    { code: "timeout" },
  );

export class Call {
  readonly server: ServerOptions;
  readonly request: Request;
  /**
   * Aborted when the client has gone or the time is up, with the error that this is, and at the end: what is still done for the request ends.
   */
  readonly signal: AbortSignal;
  /** A random id that the client sees as X-Request-Id and that appears in the log. */
  readonly id: string;
  /** In seconds since 1970. */
  readonly created = Math.floor(Date.now() / 1000);
  /** The scheduler's queue is fair between different values of this. */
  client = "";
  /** Whose kept prefixes and slots the request may use: those of its key, where there are keys. */
  owner = "";
  /** Paths of fields of the request that were not known and left out. */
  ignoredFields: readonly string[] = [];
  readonly #started = performance.now();
  readonly #stop = new AbortController();
  readonly #timer: ReturnType<typeof setTimeout>;
  /** The route as the route table has it. */
  readonly #route: string;
  #modelName: string | undefined;
  #held: HeldModel | null = null;
  #usage: WireUsage | null = null;
  #reservation: Reservation | undefined;

  constructor(server: ServerOptions, request: Request, id: string, route: string) {
    this.server = server;
    this.request = request;
    this.id = id;
    this.#route = route;
    this.signal = this.#stop.signal;
    const leave = (): void => this.#stop.abort(clientLeft());
    if (request.signal.aborted) leave();
    else request.signal.addEventListener("abort", leave, { once: true });
    const { timeoutMs } = server;
    this.#timer = setTimeout(() => this.#stop.abort(timeIsUp(timeoutMs)), Math.min(timeoutMs, MAX_TIMER_MS));
  }

  async body<T>(schema: z.ZodType<T>): Promise<T> {
    const { data, ignored } = await readBody(this.request, schema, this.server.unknownFields);
    this.ignoredFields = ignored;
    return data;
  }

  /**
   * Takes the model that the request is for, and waits until it is loaded. It stays in memory until the request is over.
   *
   * asked: the name in the request; absent: the first model. returns: the name for the answer
   * @throws ApiError 404 — not a model of this server; as `Models.hold`
   */
  async use(asked: string | null | undefined): Promise<string> {
    const name = this.modelName(asked);
    this.#held ??= await this.server.models.hold(name, this.signal);
    return name;
  }

  /**
   * The same for what is only there while the model is in memory.
   * @throws ApiError 404 — not a model of this server; 409 — it is not in memory
   */
  useLoaded(asked: string | null | undefined): string {
    const name = this.modelName(asked);
    this.#held ??= this.server.models.holdLoaded(name);
    if (this.#held) return name;
    throw new ApiError(
      409,
      `model ${name}: not in memory, nor are its conversations; send it a request, or POST /models/load`,
      {
        code: "model_not_loaded",
        param: "model",
      },
    );
  }

  /**
   * What a request calls a model.
   * @throws ApiError 404 — not a model of this server
   */
  modelName(asked: string | null | undefined): string {
    const { names } = this.server.models;
    if (asked && !names.includes(asked)) {
      throw new ApiError(
        404,
        `model ${JSON.stringify(asked.slice(0, 100))}: not here; this server has ${names.join(", ")}`,
        {
          code: "model_not_found",
          param: "model",
        },
      );
    }
    this.#modelName = asked || names[0]!;
    return this.#modelName;
  }

  /** The model of the request, which `use` has taken. */
  get model(): ModelContext {
    assert(this.#held, "a request without its model");
    return this.#held.model;
  }

  /** Equal seeds give equal answers only with an equal fingerprint: the build and the format of the cache. */
  get fingerprint(): string {
    return `turboquant-${this.server.version}-${this.model.llm.decoder.kv.text}`;
  }

  /**
   * Whose the prompts are, each with `n` answers of at most `newTokens`; a client with a limit of tokens is charged for them.
   * salt: what the request sets apart from others of its owner's
   * @throws ApiError 429 — the client has no tokens left
   */
  owned(
    salt: string | null | undefined,
    prompts: readonly (readonly number[])[],
    { n = 1, newTokens = 0 }: { readonly n?: number; readonly newTokens?: number } = {},
  ): Pick<ScheduleOptions, "client" | "owner" | "onFinish"> {
    const { client, owner } = this;
    const { rates } = this.server;
    const longest = this.model.llm.runner.contextLength + 1;
    const most = prompts.reduce((sum, { length }) => sum + length + n * Math.min(newTokens, longest - length), 0);
    const reservation = rates?.reserve(client, most);
    this.#reservation = reservation;
    return {
      client,
      owner: salt ? JSON.stringify([owner, salt]) : owner,
      ...(reservation && {
        onFinish: ({ isStarted, promptTokens, completionTokens }) => {
          if (isStarted) reservation.use(promptTokens + completionTokens);
        },
      }),
    };
  }

  get schedule(): Omit<CallOptions, "options"> {
    return { scheduler: this.model.scheduler, signal: this.signal };
  }

  readonly onUsage = (usage: WireUsage): void => {
    this.#usage = usage;
  };

  onStreamError(error: unknown): void {
    const { logger } = this.server;
    const fields = { id: this.id, err: error };
    // Time that is up and a server that ends are no faults.
    if (toApiError(error).status === 500) logger.error(fields, "stream broke off");
    else logger.warn(fields, "stream broke off");
  }

  onStreamEnd(hasLeft: boolean): void {
    this.log(hasLeft ? STATUS_CLIENT_LEFT : 200);
  }

  /** Writes the log line of the request, which is over. */
  log(status: number): void {
    clearTimeout(this.#timer);
    this.#stop.abort(clientLeft());
    this.#reservation?.end();
    this.#held?.release();
    const ms = Math.round(performance.now() - this.#started);
    const { id, request } = this;
    const line = { id, method: request.method, route: this.#route, status, ms, ...this.#usage };
    logRequest(this.server, line, this.#modelName);
  }
}
