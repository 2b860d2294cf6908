/** @file What the thread of the sockets and the thread of the engine tell each other. */

import type { RequestLine } from "./request-log.ts";

/** A request that has arrived whole. */
export interface RelayedRequest {
  readonly kind: "request";
  /** As the client sees it in X-Request-Id. */
  readonly id: string;
  readonly method: string;
  readonly url: string;
  readonly headers: readonly (readonly [string, string])[];
  readonly body: Uint8Array<ArrayBuffer> | null;
  /** The network address of the client. */
  readonly address: string;
}

/** A request that was answered without the engine, for the log and the metrics. */
export interface AnsweredRequest extends RequestLine {
  readonly kind: "answered";
  /** The error, where it is a fault of ours. */
  readonly fault?: string;
}

export type ToEngine =
  | RelayedRequest
  | AnsweredRequest
  /** The client has gone. */
  | { readonly kind: "leave"; readonly id: string }
  /** So many bytes of an answer have been passed on. */
  | { readonly kind: "read"; readonly id: string; readonly bytes: number };

export type ToGate =
  | {
      readonly kind: "head";
      readonly id: string;
      readonly status: number;
      readonly headers: readonly (readonly [string, string])[];
      readonly hasBody: boolean;
    }
  | { readonly kind: "body"; readonly id: string; readonly bytes: Uint8Array }
  | { readonly kind: "end"; readonly id: string }
  /** The answer could not be finished. */
  | { readonly kind: "broken"; readonly id: string }
  | { readonly kind: "draining" };

/** Bytes of an answer that may be under way before the reader has taken some of them. */
export const WINDOW_BYTES = 256 << 10;
/** Bytes that a reader takes before it says so. */
export const READ_STEP = 64 << 10;
