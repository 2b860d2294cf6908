/** @file Which specs can have the codes of a trellis, and the modifier that asks for them. */
import { failSpec, oneOf, type SideModifier, type SideSpec } from "../side-spec.ts";

/** Only codes of two bits can have a trellis, and not with a sketch, which describes what plain rounding leaves. */
export const hasTrellis = ({ type, qjl }: Pick<SideSpec, "type" | "qjl">): boolean => type === "tq2" && !qjl;

/** The side without `trellis` if it cannot have one. */
export function dropImpossibleTrellis({ trellis, ...side }: SideSpec): SideSpec {
  return trellis && hasTrellis(side) ? { ...side, trellis } : side;
}

export const trellisModifier: SideModifier = {
  name: "trellis",
  parse(value, sides) {
    const on = oneOf("trellis", value, ["on", "off"]) === "on";
    if (on && !sides.some(hasTrellis)) {
      failSpec("trellis=on: expected codes of 2 bits on a side (k2v2, paper-2); other widths have no trellis", {
        trellis: value,
      });
    }
    return () => ({ trellis: on || undefined });
  },
};
