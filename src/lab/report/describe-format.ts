/** @file Describes the cache that a KV spec means, for grouping and colours: which codec, which sides, how many bits. */
import type { SideFormat } from "../../quant/kv-format.ts";
import { codeBits } from "../../quant/page-layout.ts";
import { parseKvSpec } from "../../quant/parse-kv-spec.ts";
import { kindOf } from "../../quant/side-kind.ts";

export const FAMILIES = ["ours", "published", "qjl", "baseline", "exact"] as const;
export type Family = (typeof FAMILIES)[number];

export const FAMILY_LABELS: Readonly<Record<Family, string>> = {
  ours: "ours",
  published: "as published",
  qjl: "published with QJL",
  baseline: "baselines",
  exact: "uncompressed",
};

export interface FormatKind {
  readonly family: Family;
  /** Which sides are quantized. */
  readonly side: "both" | "k" | "v" | "none";
  /** Nominal bits of the codes; null when sides or layers differ. */
  readonly bits: number | null;
  /** Whether the format has sinks or a window in 16 bit. */
  readonly hasExactTokens: boolean;
  /** The spec without the modifiers that switch a side off: the same for K only, V only and both. */
  readonly wholeSpec: string;
}

const isFloat = ({ type }: SideFormat): boolean => kindOf(type) === "float";
const isPublished = ({ scale, search, transform, feedback, trellis }: SideFormat): boolean =>
  scale === "norm" && !search && !transform && !feedback && !trellis;
const isCode = ({ type }: SideFormat): boolean => kindOf(type) === "scalar";

export function describeFormat(kv: string): FormatKind {
  const spec = parseKvSpec(kv);
  const { k, v, sinks, window } = spec.forLayer(0);
  const side = isFloat(k) ? (isFloat(v) ? "none" : "v") : isFloat(v) ? "k" : "both";
  const shown = side === "v" ? v : k;
  const family =
    side === "none" ? "exact" : !isCode(shown) ? "baseline" : k.qjl ? "qjl" : isPublished(shown) ? "published" : "ours";
  const widths = [k, v].filter((of) => !isFloat(of)).map((of) => codeBits(of.type) + (of.qjl ? 1 : 0));
  const isUniform = widths.length > 0 && new Set(widths).size === 1 && !/layers=/.test(kv);
  return {
    family,
    side,
    bits: isUniform ? widths[0]! : null,
    hasExactTokens: side !== "none" && (sinks > 0 || window > 0),
    wholeSpec: spec.text.replace(/,[kv]=f(?:16|32)\b/g, ""),
  };
}
