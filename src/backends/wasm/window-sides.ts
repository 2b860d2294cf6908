/** @file What kernels are told of sinks and window of 8 bits, and of tiers, in the blocks of src/backends/parameters/attention.ts. */
import type { SideRegions } from "../../quant/page-regions.ts";
import type { ScaleRule } from "../../quant/rules.ts";
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

/** What the kernels need to know of codes, with addresses of tables. */
interface Codes {
  readonly type: number;
  readonly rule: ScaleRule;
  readonly search: boolean;
  readonly quantizer: number;
  readonly feedback: number;
  readonly codebook: { readonly address: number; readonly step: number; readonly largest: number } | null;
}

/** quantizer, centroids: addresses of tables */
export const windowAppendSide = (
  layout: SideRegions,
  dim: number,
  quantizer: number,
  centroids: number,
  feedback: number,
): ValuesOf<typeof appendSide> =>
  tierAppendSide(layout, dim, { type: TYPE, rule: "least-squares", search: false, quantizer, feedback }, centroids);

/** Of vectors that are in the space of the codes already. centroids: address, or 0 for codes that are never coded anew */
export function tierAppendSide(
  layout: SideRegions,
  dim: number,
  { type, rule, search, quantizer, feedback }: Omit<Codes, "codebook">,
  centroids: number,
): ValuesOf<typeof appendSide> {
  return {
    type,
    ...placesOf(layout),
    rotated: 0,
    rule: SCALE_RULES[rule],
    search: search ? 1 : 0,
    quantizer,
    sketchSigns: 0,
    sketchNorms: 0,
    sketchMatrix: 0,
    sketchRows: 0,
    forward: 0,
    queryMatrix: 0,
    feedback,
    dim,
    rotation: 0,
    rotationSize: 0,
    rotationRounds: 0,
    rotationData: 0,
    centroids,
  };
}

export const windowAttendSide = (
  layout: SideRegions,
  dim: number,
  codebook: NonNullable<Codes["codebook"]>,
): ValuesOf<typeof attendSide> => tierAttendSide(layout, dim, { type: TYPE, codebook });

export function tierAttendSide(
  layout: SideRegions,
  dim: number,
  { type, codebook }: Pick<Codes, "type" | "codebook">,
): ValuesOf<typeof attendSide> {
  const { address, step, largest } = codebook!;
  return {
    type,
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
