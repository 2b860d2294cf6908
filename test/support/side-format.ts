/** @file For tests: a side of a format by the name of its type and what modifiers would change. */
import { type SideFormat, sideOf } from "../../src/quant/codecs/registry.ts";
import { plainSpec, type SideSpec } from "../../src/quant/codecs/side-spec.ts";

/** changes: beside a codec as published; those that the type's codec does not have are ignored */
export function sideFormat(type: string, changes: Partial<SideSpec> = {}): SideFormat {
  return sideOf({ ...plainSpec(type), ...changes });
}
