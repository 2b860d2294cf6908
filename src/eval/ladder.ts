/**
 * @file The ladder of a KV format: each side quantized alone, and the format with one option changed at a time. It shows which
 * part of a format its quality comes from.
 */
import type { KvType } from "../quant/kv-format.ts";
import { parseKvSpec } from "../quant/parse-kv-spec.ts";
import { kindOf } from "../quant/side-kind.ts";

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

/** Sinks and window, as in the `kNvM` presets, for the rung that adds them to a format without. */
const [SINKS, WINDOW] = [4, 128];

/**
 * The rungs: the format as given, K only, V only, and the format with each of its options switched (off, or on if it was off).
 * Options that the format cannot have (a scale rule for f16, a sketch for 1-bit keys) have no rung.
 *
 * Layer 0 decides which options the format has. `layers=` stays as it is, except for the rungs of one side.
 * @throws TurboQuantError invalid_argument — a spec that cannot be parsed
 */
export function ladderOf(spec: string, { numLayers, isCalibrated, hasSketch }: LadderModel): Rung[] {
  const { calibration, forLayer } = parseKvSpec(spec);
  const { k, v, sinks, window, rotation } = forLayer(0);
  const isCoded = (type: KvType): boolean => kindOf(type) === "scalar";
  const all = `0-${numLayers - 1}`;
  /** The last modifier wins, also within the ranges of `layers=`. */
  const changed = (...modifiers: string[]): string => [spec, ...modifiers].join(",");
  const onOff = (lever: string, isOn: boolean, off: string, on: string): Rung =>
    isOn ? { lever: `${lever} off`, kv: changed(off) } : { lever: `${lever} on`, kv: changed(on) };

  const rungs: Rung[] = [{ lever: "as given", kv: spec }];
  if (k.type !== "f16" && v.type !== "f16") {
    const inAll = (side: string): string[] => (spec.includes("layers=") ? [`layers=${all}:${side}f16`] : []);
    rungs.push({ lever: "K only", kv: changed("v=f16", ...inAll("v")) });
    rungs.push({ lever: "V only", kv: changed("k=f16", ...inAll("k")) });
  }
  if (isCoded(k.type) || isCoded(v.type)) {
    const isPublished = (isCoded(k.type) ? k : v).scale === "norm";
    rungs.push(onOff("scale rules", !isPublished, "scale=norm", "scale=auto"));
    // A trellis has no scale search.
    const searched = [k, v].find(({ type, trellis }) => isCoded(type) && !trellis);
    if (searched) rungs.push(onOff("search", searched.search, "search=off", "search=on"));
    if (isCalibrated && calibration !== "off") {
      const side = isCoded(k.type) ? k : v;
      rungs.push(onOff("transform", side.transform, "transform=off", "transform=on"));
      rungs.push(onOff("feedback", side.feedback, "feedback=off", "feedback=on"));
    }
    // A sketch takes one of the key's bits, and a trellis needs both.
    const coded = [k, v].filter(({ type, qjl }) => type === "tq2" && !qjl);
    if (coded.length > 0)
      rungs.push(
        onOff(
          "trellis",
          coded.every((side) => side.trellis),
          "trellis=off",
          "trellis=on",
        ),
      );
    rungs.push(onOff("rotation", rotation !== "none", "rotation=none", "rotation=hadamard"));
  }
  if (isCoded(k.type)) {
    const bits = Number(k.type.slice(2));
    // The sketch replaces one bit of code, so both rungs store the same number of bits.
    if (k.qjl) rungs.push({ lever: "QJL off", kv: changed(`layers=${all}:k${bits + 1}`) });
    else if (bits > 1 && hasSketch) rungs.push({ lever: "QJL on", kv: changed(`layers=${all}:k${bits}+qjl`) });
  }
  if (!parseKvSpec(spec).isFloat) {
    rungs.push(onOff("sinks", sinks > 0, "sinks=0", `sinks=${SINKS}`));
    // KIVI cannot do without a window: a page has no codes before it is full.
    const isKivi = kindOf(k.type) === "channel" || kindOf(v.type) === "channel";
    if (!isKivi) rungs.push(onOff("window", window > 0, "window=0", `window=${WINDOW}`));
    if (isCalibrated) rungs.push(onOff("calibration", calibration !== "off", "calibration=off", "calibration=auto"));
  }
  return rungs.map(({ lever, kv }) => ({ lever, kv: parseKvSpec(kv).text }));
}
