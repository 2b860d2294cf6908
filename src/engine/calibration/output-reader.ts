/** @file Reads output projections as a calibration needs them. */
import type { Checkpoint } from "../../formats/checkpoint.ts";
import { readWeight } from "../../models/checkpoint-weights.ts";
import { stackParts } from "../../weights/weight-part.ts";

/** A function that reads a matrix of the checkpoint in f32, row-major. */
export const outputReader =
  (checkpoint: Checkpoint) =>
  async (name: string): Promise<Float32Array> =>
    stackParts([await readWeight(checkpoint, name)]).data;
