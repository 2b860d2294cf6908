/** @file The only error class of the package, with a few codes that say who has to act, and structured detail. */

/**
 * - `invalid_argument`: the caller passed something wrong (an option, a shape, a spec)
 * - `invalid_file`: a file is truncated, inconsistent or not what it claims to be
 * - `unsupported`: valid input that this version cannot run
 * - `out_of_memory`: a byte budget or the memory of the device is exhausted
 * - `unavailable`: not now: a queue is full, or the process is about to end; try again later
 * - `device_lost`: the GPU device was lost while in use
 * - `internal`: a bug in this package
 */
export type ErrorCode =
  | "invalid_argument"
  | "invalid_file"
  | "unsupported"
  | "out_of_memory"
  | "unavailable"
  | "device_lost"
  | "internal";

/** The message reads "what: expected X, got Y; next step". `detail` repeats its numbers for programs. */
export class TurboQuantError extends Error {
  override readonly name = "TurboQuantError";
  readonly code: ErrorCode;
  readonly detail: Readonly<Record<string, unknown>>;

  constructor(
    code: ErrorCode,
    message: string,
    detail: Readonly<Record<string, unknown>> = {},
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.code = code;
    this.detail = detail;
  }
}

/** Asserts an invariant of this package. A failure is a bug, never the user's mistake. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new TurboQuantError("internal", `internal: ${message}`);
}
