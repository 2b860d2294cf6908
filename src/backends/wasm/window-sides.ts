/** @file What kernels are told of sinks and window of 8 bits, in the blocks of src/backends/parameters/attention.ts. */
import type { SideRegions } from "../../quant/page-regions.ts";
import { type appendSide, type attendSide, SCALE_RULES } from "../parameters/attention.ts";
import type { ValuesOf } from "../parameters/struct.ts";
import { offsetOf, planeOffset } from "./kv-params.ts";

/** Kernels know codes of 8 bits by their width. */
const TYPE = 8;

const placesOf = (layout: SideRegions) => ({
  plane0: planeOffset(layout, 0),
  plane1: planeOffset(layout, 1),
  plane2: planeOffset(layout, 2),
  scales: offsetOf(layout.scales[0]),
});

/** quantizer, centroids: addresses of tables */
export function windowAppendSide(
  layout: SideRegions,
  dim: number,
  quantizer: number,
  centroids: number,
): ValuesOf<typeof appendSide> {
  return {
    type: TYPE,
    ...placesOf(layout),
    rotated: 0,
    rule: SCALE_RULES["least-squares"],
    search: 0,
    quantizer,
    sketchSigns: 0,
    sketchNorms: 0,
    sketchMatrix: 0,
    sketchRows: 0,
    forward: 0,
    queryMatrix: 0,
    feedback: 0,
    dim,
    rotation: 0,
    rotationSize: 0,
    rotationRounds: 0,
    rotationData: 0,
    centroids,
  };
}

export function windowAttendSide(
  layout: SideRegions,
  dim: number,
  { address, step, largest }: { readonly address: number; readonly step: number; readonly largest: number },
): ValuesOf<typeof attendSide> {
  return {
    type: TYPE,
    ...placesOf(layout),
    table: address,
    step: step / Math.sqrt(dim),
    largest,
    sketchSigns: 0,
    sketchNorms: 0,
    sketchMatrix: 0,
    sketchFactor: 0,
    sketchRows: 0,
    dim,
  };
}
