/** @file When a spec's codes are those of a trellis. */
import type { SideSpec } from "../side-spec.ts";

/** Codes of two bits alone have a trellis, and a sketch describes what plain rounding leaves. */
export const hasTrellis = ({ type, qjl }: Pick<SideSpec, "type" | "qjl">): boolean => type === "tq2" && !qjl;

/** Nothing of the recipe that the side's width does not have. */
export function settled({ trellis, ...side }: SideSpec): SideSpec {
  return trellis && hasTrellis(side) ? { ...side, trellis } : side;
}
