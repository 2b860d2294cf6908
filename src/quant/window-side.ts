/** @file What sinks and residual window are stored as, and which formats can have them in 8 bits. */
import { codecOf, isFloat, nameOf, type SideFormat } from "./codecs/registry.ts";
import { failSpec } from "./codecs/side-spec.ts";
import type { LayerKvFormat } from "./kv-format.ts";
import { plain } from "./kv-presets.ts";

/** Whatever the types of the sides are. */
const HALVES: SideFormat = plain("f16");

/**
 * Codes of 8 bits in the space that the other codes are in, without search and error feedback: their error is a two hundredth of that of 4
 * bits as it is, and a token is coded once more when it leaves the window.
 */
const EIGHT_BITS: SideFormat = {
  kind: "scalar",
  bits: 8,
  scale: "least-squares",
  search: false,
  transform: false,
  feedback: false,
};

/** How K and V of sinks and window are stored. */
export const windowSide = ({ windowBits }: Pick<LayerKvFormat, "windowBits">): SideFormat =>
  windowBits === 8 ? EIGHT_BITS : HALVES;

/**
 * Checks the sides of a layer whose window is asked for in 8 bits: it shares their rotation, and codes are made from it.
 * @throws TurboQuantError invalid_argument — a side without TurboQuant codes; floats on both sides have no window at all
 */
export function checkWindowSides({ k, v, windowBits }: Pick<LayerKvFormat, "k" | "v" | "windowBits">): void {
  if (windowBits !== 8 || (isFloat(k) && isFloat(v))) return;
  const other = [k, v].find((side) => !codecOf(side).recipeOf?.(side));
  if (!other) return;
  failSpec(
    `window=8bit: ${nameOf(other)} has no TurboQuant codes, from which the window's would differ only in width; choose kNvM, or window=16bit`,
    { type: nameOf(other) },
  );
}
