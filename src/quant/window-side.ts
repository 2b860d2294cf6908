/** @file What sinks and residual window are stored as, and which formats can have them in 8 bits. */
import { codecOf, isFloat, nameOf, type SideFormat } from "./codecs/registry.ts";
import { type Draft, failSpec } from "./codecs/side-spec.ts";
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

/** Sinks in 8 bits where a spec does not name their number: those of a page, of which four would take as much. */
export const EIGHT_BIT_SINKS = 16;

/**
 * Tokens in a window of 8 bits where a spec does not name their number: so many that at 2,048 tokens they add no more than 0.4 bits a
 * value to the codes (docs/decisions/0015). bits: of the coarser side
 */
export const eightBitWindow = (bits: number): number => (bits >= 4 ? 144 : 96);

/** Sinks and window of 16 bits where a spec does not name their numbers. */
export const SIXTEEN_BIT_SIZES = { sinks: 4, window: 128 } as const;

export type Window = Pick<LayerKvFormat, "sinks" | "window" | "windowBits">;

export interface Windows {
  /** Of layers whose sides both have TurboQuant codes. */
  readonly own: Window;
  /** In 16 bits: of layers that cannot have codes of 8 bits there, which are those of other sides, of latent attention, and keys of an indexer. */
  readonly halves: Window;
}

const hasCodes = (side: SideFormat): boolean => codecOf(side).recipeOf?.(side) !== undefined;
const bitsOf = (side: SideFormat): number => codecOf(side).bitsOf(side);

/** Whether sinks and window of a layer can be codes of 8 bits, from which those of its sides would differ only in width. */
export const canBeEightBits = ({ k, v }: Pick<LayerKvFormat, "k" | "v">): boolean => hasCodes(k) && hasCodes(v);

/**
 * Sinks and window of a spec. What it does not say (undefined) is our recipe's: 8 bits where both sides have TurboQuant codes, of which one is
 * coarser than that, and 16 elsewhere, with the sizes that belong to the width.
 */
export function windowsOf(
  { sinks, window, windowBits }: Pick<Draft, "sinks" | "window" | "windowBits">,
  sides: Pick<LayerKvFormat, "k" | "v">,
): Windows {
  const least = Math.min(bitsOf(sides.k), bitsOf(sides.v));
  const isEight = (windowBits ?? (canBeEightBits(sides) && least < 8 ? 8 : 16)) === 8;
  const halves = { sinks: sinks ?? SIXTEEN_BIT_SIZES.sinks, window: window ?? SIXTEEN_BIT_SIZES.window };
  const eight = { sinks: sinks ?? EIGHT_BIT_SINKS, window: window ?? eightBitWindow(least) };
  const isNothing = eight.sinks === 0 && eight.window === 0;
  return { own: isEight && !isNothing ? { ...eight, windowBits: 8 } : halves, halves };
}

/** How K and V of sinks and window are stored. */
export const windowSide = ({ windowBits }: Pick<LayerKvFormat, "windowBits">): SideFormat =>
  windowBits === 8 ? EIGHT_BITS : HALVES;

/**
 * Checks the sides of a layer whose window is asked for in 8 bits: it shares their rotation, and codes are made from it.
 * @throws TurboQuantError invalid_argument — a side without TurboQuant codes; floats on both sides have no window at all
 */
export function checkWindowSides({ k, v }: Pick<LayerKvFormat, "k" | "v">): void {
  if (isFloat(k) && isFloat(v)) return;
  const other = [k, v].find((side) => !hasCodes(side));
  if (!other) return;
  failSpec(
    `window=8bit: ${nameOf(other)} has no TurboQuant codes, from which the window's would differ only in width; choose kNvM, or window=16bit`,
    { type: nameOf(other) },
  );
}
