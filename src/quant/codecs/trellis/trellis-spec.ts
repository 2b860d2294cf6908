/** @file Which specs can have the codes of a trellis. */
import type { SideSpec } from "../side-spec.ts";

/** Only codes of two bits can have a trellis, and not with a sketch, which describes what plain rounding leaves. */
export const hasTrellis = ({ type, qjl }: Pick<SideSpec, "type" | "qjl">): boolean => type === "tq2" && !qjl;

/** The side without `trellis` if it cannot have one. */
export function dropImpossibleTrellis({ trellis, ...side }: SideSpec): SideSpec {
  return trellis && hasTrellis(side) ? { ...side, trellis } : side;
}
