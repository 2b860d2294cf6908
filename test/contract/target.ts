/** @file What the contract asks of a backend that it is run against. */
import type { Ops } from "../../src/backends/ops.ts";
import type { WeightType } from "../../src/weights/registry.ts";
import type { KvCase } from "../support/kv-case.ts";

export interface Target {
  open(): Promise<Ops>;
  /** KvCase.sharpness of all cases but those with inputs of their own; known when the device is. */
  sharpness?(): number;
  /** Whether numbers below 2⁻¹²⁶ may be taken for zero. */
  readonly flushesSubnormals?: true;
  /** Most that a result may be off, from `test/tolerances.ts`; known when the device is. */
  readonly limits: {
    /** Share of the bytes of pages. */
    pages(): number;
    query(): number;
    output(c: KvCase): number;
    linear(type: WeightType, rows: number): number;
    elementwise(): number;
    activation(): number;
    deltaRule(): number;
  };
}
