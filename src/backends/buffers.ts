/** @file What operations read and write: activations and weights on a backend. */
import type { WeightType } from "../weights/registry.ts";

/** A buffer for activations, with `length` f32 values. */
export interface Buf {
  readonly length: number;
}

/** A weight matrix [rows][cols] on the backend; a vector has one row. */
export interface Weight {
  readonly rows: number;
  readonly cols: number;
  readonly type: WeightType;
  /** Bytes that it takes on the backend. */
  readonly numBytes: number;
}
