/** @file What sinks and residual window are stored as, and which formats can have them in 8 bits. */
import { codecOf, isFloat, nameOf, type SideFormat } from "./codecs/registry.ts";
import { failSpec } from "./codecs/side-spec.ts";
import type { LayerKvFormat } from "./kv-format.ts";
import { plain } from "./kv-presets.ts";

/** Whatever the types of the sides are. */
const HALVES: SideFormat = plain("f16");

/**
 * Codes of 8 bits in the space that the other codes are in, with the error feedback of these where a calibration has factors for it. Without it
 * the loss of 8 bits is twice as large, because the errors of 4 bits are shaped and these would not be. A search for the scale gains nothing here.
 */
const EIGHT_BITS: SideFormat = {
  kind: "scalar",
  bits: 8,
  scale: "least-squares",
  search: false,
  transform: false,
  feedback: true,
};

/** Sinks of `window=8bit` where a spec does not name their number: those of a page, of which four would take as much. */
export const EIGHT_BIT_SINKS = 16;

/**
 * Tokens in the window of `window=8bit` where a spec does not name their number: so many that at 2,048 tokens they add no more than 0.4 bits a
 * value to the codes (docs/decisions/0015). bits: of the coarser side
 */
export const eightBitWindow = (bits: number): number => (bits >= 4 ? 144 : 96);

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
