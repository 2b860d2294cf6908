/**
 * @file The ladder of a KV format: each side quantized alone, and the format with one option changed at a time. It shows which
 * part of a format its quality comes from.
 */
import { codecOf, isWholePage, typeOf } from "../quant/codecs/registry.ts";
import type { Recipe } from "../quant/codecs/side-codec.ts";
import type { SideFormat } from "../quant/kv-format.ts";
import { parseKvSpec } from "../quant/parse-kv-spec.ts";
import { EIGHT_BIT_SINKS, eightBitWindow, SIXTEEN_BIT_SIZES } from "../quant/window-side.ts";

export interface Rung {
  /** The change in words, e.g. `K only` or `search off`. */
  readonly lever: string;
  readonly kv: string;
}

export interface LadderModel {
  readonly numLayers: number;
  /** Whether the checkpoint has a calibration. */
  readonly isCalibrated: boolean;
  /** Whether the backend can store keys with a QJL sketch. */
  readonly hasSketch: boolean;
}

/** What a rung stores the other side in. */
const OTHER = "f16";

/**
 * The rungs: the format as given, K only, V only, and the format with each of its options switched (off, or on if it was off).
 * Options that the format cannot have (a scale rule for f16, a sketch for 1-bit keys) have no rung.
 *
 * Layer 0 decides which options the format has. `layers=` stays as it is, except for the rungs of one side.
 * @throws TurboQuantError invalid_argument — a spec that cannot be parsed
 */
export function ladderOf(spec: string, { numLayers, isCalibrated, hasSketch }: LadderModel): Rung[] {
  const { calibration, forLayer } = parseKvSpec(spec);
  const { k, v, sinks, window, windowBits, rotation, tiers } = forLayer(0);
  const recipeOf = (side: SideFormat): Recipe | null => codecOf(side).recipeOf?.(side) ?? null;
  const isOther = (side: SideFormat): boolean => typeOf(side) === OTHER;
  const [keys, values] = [recipeOf(k), recipeOf(v)];
  const recipes = [keys, values].filter((recipe) => recipe !== null);
  const all = `0-${numLayers - 1}`;
  /** The last modifier wins, also within the ranges of `layers=`. */
  const changed = (...modifiers: string[]): string => [spec, ...modifiers].join(",");
  const onOff = (lever: string, isOn: boolean, off: string, on: string): Rung =>
    isOn ? { lever: `${lever} off`, kv: changed(off) } : { lever: `${lever} on`, kv: changed(on) };

  const rungs: Rung[] = [{ lever: "as given", kv: spec }];
  // Tiers have no single side or window to switch.
  if (!isOther(k) && !isOther(v) && !tiers) {
    const inAll = (side: string): string[] => (spec.includes("layers=") ? [`layers=${all}:${side}${OTHER}`] : []);
    // A side without codes has sinks and window in 16 bits: as many, so that the width is all that differs there.
    const sizes = windowBits === 8 ? ["window=16bit", `sinks=${sinks}`, `window=${window}`] : [];
    rungs.push({ lever: "K only", kv: changed(`v=${OTHER}`, ...inAll("v"), ...sizes) });
    rungs.push({ lever: "V only", kv: changed(`k=${OTHER}`, ...inAll("k"), ...sizes) });
  }
  if (recipes[0]) {
    rungs.push(onOff("scale rules", recipes[0].scale !== "norm", "scale=norm", "scale=auto"));
    const lever = (name: "search" | "transform" | "feedback"): void => {
      const isOn = recipes.find((recipe) => recipe[name] !== undefined)?.[name];
      if (isOn !== undefined) rungs.push(onOff(name, isOn, `${name}=off`, `${name}=on`));
    };
    lever("search");
    if (isCalibrated && calibration !== "off") {
      lever("transform");
      lever("feedback");
    }
    const chained = recipes.filter(({ trellis }) => trellis !== undefined);
    if (chained.length > 0) {
      const isOn = chained.every(({ trellis }) => trellis);
      rungs.push(onOff("trellis", isOn, "trellis=off", "trellis=on"));
    }
    rungs.push(onOff("rotation", rotation !== "none", "rotation=none", "rotation=hadamard"));
  }
  if (keys && !tiers) {
    const bits = codecOf(k).bitsOf(k);
    // The sketch replaces one bit of code, so both rungs store the same number of bits.
    if (keys.hasSketch) rungs.push({ lever: "QJL off", kv: changed(`layers=${all}:k${bits}`) });
    else if (bits > 1 && hasSketch) rungs.push({ lever: "QJL on", kv: changed(`layers=${all}:k${bits}+qjl`) });
  }
  if (!parseKvSpec(spec).isFloat) {
    // As in the presets of the width that the format has them in.
    const isEight = parseKvSpec(changed("sinks=1")).forLayer(0).windowBits === 8;
    const least = Math.min(...[k, v].map((side) => codecOf(side).bitsOf(side)));
    const added = isEight ? { sinks: EIGHT_BIT_SINKS, window: eightBitWindow(least) } : SIXTEEN_BIT_SIZES;
    rungs.push(onOff("sinks", sinks > 0, "sinks=0", `sinks=${added.sinks}`));
    // What is stored a page at a time cannot do without a window: a page has no codes before it is full.
    if (!tiers && ![k, v].some(isWholePage))
      rungs.push(onOff("window", window > 0, "window=0", `window=${added.window}`));
    if (isCalibrated) rungs.push(onOff("calibration", calibration !== "off", "calibration=off", "calibration=auto"));
  }
  return rungs.map(({ lever, kv }) => ({ lever, kv: parseKvSpec(kv).text }));
}
