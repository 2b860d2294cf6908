/** @file Drawing tokens on the device, as backends offer it. */
import type { Buf } from "./buffers.ts";

/** How a token is drawn; fields as in the engine's `SamplingParams`. */
export interface Draw {
  readonly temperature: number;
  readonly topK: number;
  readonly topP: number;
  readonly minP: number;
}

export interface DeviceSample {
  readonly token: number;
  /** Natural log of the token's probability under the model, in f32. */
  readonly logprob: number;
  /** The first logit that is not finite; the token was then chosen among the others. */
  readonly notFinite?: { readonly token: number; readonly value: number };
}

/** Tokens drawn on the device step by step. Streams are independent of each other. */
export interface TokenStream {
  /**
   * Queues the draw of one token from each of the rows [firstRow, firstRow + rows) of logits [any][vocabSize]. Steps queued
   * afterwards can use these tokens. The promise resolves when they are on the host; later work does not wait for that.
   *
   * rows: 1 to the sampling's `maxRows` · uniforms: one number in [0, 1) for each row; not read when greedy
   */
  sample(logits: Buf, rows: number, uniforms: readonly number[], firstRow?: number): Promise<readonly DeviceSample[]>;
  /** Makes the stream's buffers available to others. Steps that use its tokens must be queued before. Idempotent. */
  close(): void;
}

/** Draws tokens on the device, so that the next step can begin before the host knows them. */
export interface DeviceSampling {
  /** The most rows that one stream draws in a step. */
  readonly maxRows: number;
  /** null when the device cannot draw like this, so that the host has to. */
  createStream(draw: Draw, vocabSize: number): TokenStream | null;
}
