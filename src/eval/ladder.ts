/**
 * @file The ladder of a KV format: each side alone, and the format with one lever changed at a time. Whoever reads only the
 * whole cannot say what it owes its quality to.
 */
import type { KvType } from "../quant/kv-format.ts";
import { parseKvSpec } from "../quant/parse-kv-spec.ts";
import { kindOf } from "../quant/side-kind.ts";

export interface Rung {
  /** What is changed, for people: `K only`, `search off`. */
  readonly lever: string;
  readonly kv: string;
}

export interface LadderModel {
  readonly numLayers: number;
  /** Whether the checkpoint carries a calibration. */
  readonly isCalibrated: boolean;
  /** Whether the backend stores keys with a QJL sketch. */
  readonly hasSketch: boolean;
}

/** Sinks and window that a rung adds to a format without: those of the `kNvM` presets. */
const [SINKS, WINDOW] = [4, 128];

/**
 * The format as given, K only, V only, and every lever of it switched off, or on if it was off. Levers that the format does
 * not have (a scale rule of f16, a sketch of 1-bit keys) have no rung.
 *
 * Levers are judged by layer 0; `layers=` of the format stay as they are but for the sides.
 * @throws TurboQuantError invalid_argument — a spec that cannot be read
 */
export function ladderOf(spec: string, { numLayers, isCalibrated, hasSketch }: LadderModel): Rung[] {
  const { calibration, forLayer } = parseKvSpec(spec);
  const { k, v, sinks, window, rotation } = forLayer(0);
  const isCoded = (type: KvType): boolean => kindOf(type) === "scalar";
  const all = `0-${numLayers - 1}`;
  /** Later modifiers win, also over the ranges of `layers=`. */
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
    // A trellis does not search.
    const searched = [k, v].find(({ type, trellis }) => isCoded(type) && !trellis);
    if (searched) rungs.push(onOff("search", searched.search, "search=off", "search=on"));
    if (isCalibrated && calibration !== "off") {
      const side = isCoded(k.type) ? k : v;
      rungs.push(onOff("transform", side.transform, "transform=off", "transform=on"));
      rungs.push(onOff("feedback", side.feedback, "feedback=off", "feedback=on"));
    }
    // A sketch takes one of the key's bits, and with it the trellis.
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
    // The sketch takes the place of one bit, so that both rungs store the same.
    if (k.qjl) rungs.push({ lever: "QJL off", kv: changed(`layers=${all}:k${bits + 1}`) });
    else if (bits > 1 && hasSketch) rungs.push({ lever: "QJL on", kv: changed(`layers=${all}:k${bits}+qjl`) });
  }
  if (!parseKvSpec(spec).isFloat) {
    rungs.push(onOff("sinks", sinks > 0, "sinks=0", `sinks=${SINKS}`));
    // KIVI needs its window: a page has no codes before it is full.
    const isKivi = kindOf(k.type) === "channel" || kindOf(v.type) === "channel";
    if (!isKivi) rungs.push(onOff("window", window > 0, "window=0", `window=${WINDOW}`));
    if (isCalibrated) rungs.push(onOff("calibration", calibration !== "off", "calibration=off", "calibration=auto"));
  }
  return rungs.map(({ lever, kv }) => ({ lever, kv: parseKvSpec(kv).text }));
}
