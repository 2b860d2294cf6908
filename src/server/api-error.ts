/** @file Turns every failure into OpenAI's error object with the right status. */
import { TurboQuantError } from "../errors.ts";

export interface ErrorBody {
  readonly error: {
    readonly message: string;
    readonly type: string;
    /** The wrong field of the request; null when no single field is wrong. */
    readonly param: string | null;
    readonly code: string | null;
  };
}

export interface MessagesErrorBody {
  readonly type: "error";
  readonly error: ErrorBody["error"] & { readonly details?: ErrorDetails };
  /** Absent in streams, whose headers have it. */
  readonly request_id?: string;
}

/** What clients of Anthropic's read of an error to go on by themselves. */
type ErrorDetails = Readonly<Record<string, unknown>>;

export interface ApiErrorOptions {
  readonly code?: string;
  readonly param?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly details?: ErrorDetails;
}

/** Paths of Anthropic's API. */
export const isMessagesPath = (path: string): boolean => /^(?:\/v1)?\/messages(?:\/|$)/.test(path);

export class ApiError extends Error {
  readonly status: number;
  readonly code: string | null;
  readonly param: string | null;
  readonly headers: Readonly<Record<string, string>>;
  readonly #details: ErrorDetails | undefined;

  constructor(status: number, message: string, options: ApiErrorOptions = {}) {
    super(message);
    this.status = status;
    this.code = options.code ?? null;
    this.param = options.param ?? null;
    this.headers = options.headers ?? {};
    this.#details = options.details;
  }

  get body(): ErrorBody {
    return {
      error: {
        message: this.message,
        type: TYPES[this.status] ?? fallbackType(this.status),
        param: this.param,
        code: this.code,
      },
    };
  }

  /** As Anthropic's API has it, whose types are others. */
  get messagesBody(): MessagesErrorBody {
    const { status } = this;
    const type = MESSAGES_TYPES[status] ?? (status >= 500 ? "api_error" : fallbackType(status));
    const details = this.#details;
    return { type: "error", error: { ...this.body.error, type, ...(details && { details }) } };
  }

  /** path: of the request, which says whose error it is */
  toResponse(path: string, id: string): Response {
    const body = isMessagesPath(path) ? { ...this.messagesBody, request_id: id } : this.body;
    return Response.json(body, { status: this.status, headers: this.headers });
  }
}

/** Names a request in its answer; Anthropic's clients have a header of their own for it. */
export function setRequestId({ headers }: Response, path: string, id: string): void {
  headers.set("x-request-id", id);
  if (isMessagesPath(path)) headers.set("request-id", id);
}

/** nginx's status for a client that disconnected before the answer; used in the log and the metrics only. */
export const STATUS_CLIENT_LEFT = 499;

export const clientLeft = (): ApiError => new ApiError(STATUS_CLIENT_LEFT, "the client has gone");

/** Whether an error is only that nobody waits for the answer any more. */
export const isClientLeft = (error: unknown): boolean =>
  error instanceof ApiError && error.status === STATUS_CLIENT_LEFT;

/** allowed: methods that the path has */
export const methodNotAllowed = (method: string, path: string, allowed: readonly string[]): ApiError =>
  new ApiError(405, `${method} ${path.slice(0, MAX_SHOWN)}: no such method here; use ${allowed.join(" or ")}`, {
    code: "method_not_allowed",
    headers: { allow: allowed.join(", ") },
  });

export const shuttingDown = (): ApiError =>
  new ApiError(503, "shutting down; ask another server", { code: "unavailable" });

/** The most characters of a path that an error message repeats. */
const MAX_SHOWN = 200;

const TYPES: Readonly<Record<number, string>> = {
  401: "authentication_error",
  403: "permission_error",
  404: "not_found_error",
  408: "timeout_error",
  429: "rate_limit_error",
  501: "not_supported_error",
  503: "unavailable_error",
  504: "timeout_error",
};

/** Those that Anthropic's clients know; what is not here is `api_error` or `invalid_request_error`. */
const MESSAGES_TYPES: Readonly<Record<number, string>> = {
  401: "authentication_error",
  403: "permission_error",
  404: "not_found_error",
  408: "timeout_error",
  413: "request_too_large",
  429: "rate_limit_error",
  503: "overloaded_error",
  504: "timeout_error",
};

const fallbackType = (status: number): string => (status >= 500 ? "server_error" : "invalid_request_error");

/** Seconds after which a refused client may try again. */
const RETRY_AFTER = { "retry-after": "1" };

/** The error object for any error. Internal errors are reported without details. */
export function toApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  if (error instanceof TurboQuantError) {
    const { code, message, detail } = error;
    switch (code) {
      case "invalid_argument":
        return "contextLength" in detail
          ? new ApiError(400, message, { code: "context_length_exceeded" })
          : new ApiError(400, message, { code });
      case "invalid_file":
      case "unsupported":
        return new ApiError(400, message, { code });
      case "out_of_memory":
        // A prompt that is larger than the whole budget will not fit later either.
        return "tokens" in detail
          ? new ApiError(400, message, { code })
          : new ApiError(503, message, { code, headers: RETRY_AFTER });
      case "unavailable":
        return new ApiError(detail["reason"] === "queue" ? 429 : 503, message, { code, headers: RETRY_AFTER });
      default:
        return new ApiError(500, message, { code });
    }
  }
  return new ApiError(500, "internal error; the server's log has the details", { code: "internal" });
}
