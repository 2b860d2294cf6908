/** @file Activations that pass between a backend and GPU buffers that others made on the same device, without leaving it. */
import type { Buf } from "./buffers.ts";

/** f32 values of a buffer: bytes [offset, offset + size), both multiples of 4; as WebGPU's `GPUBufferBinding`. */
export interface GpuRange {
  readonly buffer: GPUBuffer;
  /** Default: 0. */
  readonly offset?: number;
  /** Default: the rest of the buffer. */
  readonly size?: number;
}

/** Rows of f32 values in a buffer, or in a part of it. */
export type GpuRows = GPUBuffer | GpuRange;

/**
 * Copies are in the order of everything that is queued, here and by others on the device's queue, when the call returns. Their promises
 * resolve when the device has accepted them, which work that is queued next need not wait for.
 */
export interface OutsideBuffers {
  readonly device: GPUDevice;
  /**
   * Looks at what a buffer tells of itself.
   *
   * isWritten: whether it is to be written, otherwise read · what: its name in messages
   * returns: number of f32 values
   * @throws TurboQuantError invalid_argument — no buffer, a part that it does not have, a usage that it lacks, or it is mapped
   */
  lengthOf(rows: GpuRows, isWritten: boolean, what: string): number;
  /**
   * to[start + i] = from[i] for all values of the rows.
   * @throws TurboQuantError invalid_argument, by the promise — the device refuses the buffer: it is destroyed or of another device
   */
  receive(from: GpuRows, to: Buf, start: number, what: string): Promise<void>;
  /** to[i] = from[i] for all values of the rows. Errors as of `receive`. */
  send(from: Buf, to: GpuRows, what: string): Promise<void>;
}
