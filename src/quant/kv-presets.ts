/** @file The recipes that a KV spec begins with: `kNvM`, `paper-N`, the baselines, and types of a side by themselves. */
import { closest } from "../closest.ts";
import { TurboQuantError } from "../errors.ts";
import type { KvType, RotationKind, SideFormat } from "./kv-format.ts";
import { KIVI_GROUP } from "./page-layout.ts";
import { kindOf } from "./side-kind.ts";

/** A spec that is being read. */
export interface Draft {
  k: SideFormat;
  v: SideFormat;
  sinks: number;
  window: number;
  rotation: RotationKind;
  seed: number;
  calibration: string;
}

/** vLLM's names; norm-corrected codes without sinks, window, search or calibration. */
export const ALIASES: ReadonlyMap<string, string> = new Map([
  ["turboquant_k8v4", "k8v4,sinks=0,window=0,search=off,calibration=off"],
  ["turboquant_4bit_nc", "k4v4,sinks=0,window=0,search=off,calibration=off"],
  ["turboquant_k3v4_nc", "k3v4,sinks=0,window=0,search=off,calibration=off"],
  ["turboquant_3bit_nc", "k3v3,sinks=0,window=0,search=off,calibration=off"],
]);

const PRESET_EXAMPLES = [
  "f16",
  "f32",
  "k4v4",
  "k5v4",
  "k8v4",
  "k3v3",
  "paper-4",
  "paper-4+qjl",
  "q4_0r",
  "q8_0",
  "kivi-4",
];
/** @throws TurboQuantError invalid_argument */
export function fail(message: string, detail: Record<string, unknown> = {}): never {
  throw new TurboQuantError("invalid_argument", `--kv: ${message}`, detail);
}

/** A type with nothing on top: the codec as published. */
export const plain = (type: KvType): SideFormat => ({
  type,
  scale: "norm",
  search: false,
  transform: false,
  feedback: false,
  qjl: false,
});
export const ours = (bits: number | string, side: "k" | "v"): SideFormat => ({
  type: `tq${bits}` as KvType,
  scale: side === "k" ? "norm-preserving" : "least-squares",
  search: true,
  transform: true,
  feedback: true,
  qjl: false,
  // Of the recipe, whatever the width; `settled` takes it from the sides that have none.
  trellis: true,
});

/** Codes of two bits alone have a trellis, and a sketch describes what plain rounding leaves. */
export const hasTrellis = ({ type, qjl }: SideFormat): boolean => type === "tq2" && !qjl;

/** Nothing of the recipe that the side's width does not have. */
export function settled({ trellis, ...side }: SideFormat): SideFormat {
  return trellis && hasTrellis(side) ? { ...side, trellis } : side;
}

/** A storage type for `k=` and `v=`; a TurboQuant width is taken with the preset's rules. */
export function parseType(text: string, side: "k" | "v", like: SideFormat): SideFormat {
  if (["f16", "f32", "q8_0", "q4_0r"].includes(text)) return plain(text as KvType);
  const bits = /^tq-?([1-8])$/.exec(text)?.[1];
  if (bits)
    return kindOf(like.type) === "scalar" ? { ...like, type: `tq${bits}` as KvType, qjl: false } : ours(bits, side);
  fail(`${side}=${text} is not a type; choose f16, f32, q8_0, q4_0r or tq1 … tq8`, { type: text });
}

export function parsePreset(text: string): Draft {
  const draft = (k: SideFormat, v: SideFormat, more: Partial<Draft> = {}): Draft => ({
    k,
    v,
    sinks: 0,
    window: 0,
    rotation: "hadamard",
    seed: 0,
    calibration: "off",
    ...more,
  });
  const product = { sinks: 4, window: 128, calibration: "auto" };
  if (["f16", "f32", "q8_0", "q4_0r"].includes(text)) return draft(plain(text as KvType), plain(text as KvType));
  let match = /^k([1-8])v([1-8])$/.exec(text);
  if (match) return draft(ours(match[1]!, "k"), ours(match[2]!, "v"), product);
  match = /^tq-?([1-8])$/.exec(text);
  if (match) return draft(ours(match[1]!, "k"), ours(match[1]!, "v"), product);
  match = /^paper-([1-8])(\+qjl)?$/.exec(text);
  if (match) {
    const bits = Number(match[1]);
    if (!match[2]) return draft(plain(`tq${bits}` as KvType), plain(`tq${bits}` as KvType));
    if (bits < 2) fail("paper-1+qjl has no bits left for codes; QJL takes one of them, so ask for 2 or more");
    return draft({ ...plain(`tq${bits - 1}` as KvType), qjl: true }, plain(`tq${bits}` as KvType));
  }
  match = /^kivi-([1-8])$/.exec(text);
  if (match)
    return draft(plain(`kivi${match[1]}` as KvType), plain(`kivi${match[1]}` as KvType), {
      rotation: "none",
      window: KIVI_GROUP,
    });
  const hint = closest(text, PRESET_EXAMPLES);
  fail(
    `"${text}" is not a preset; choose f16, f32, kNvM with N and M from 1 to 8 (k4v4), paper-N, paper-N+qjl, q8_0, q4_0r or kivi-N` +
      (hint ? `; did you mean ${hint}?` : ""),
    { preset: text },
  );
}

/**
 * A key type of which one bit is a QJL sketch. The codes are the nearest ones and keep the published scale, which the
 * sketch's residual refers to.
 */
export function sketched(side: "k" | "v", type: string, like: SideFormat): SideFormat {
  const bits = Number(/^tq-?([2-8])$/.exec(type)?.[1]);
  if (side === "v" || !bits)
    fail(`${side}${type.replace("tq", "")}+qjl: expected k2+qjl to k8+qjl; only keys carry a sketch`, { type });
  return { ...like, type: `tq${bits - 1}` as KvType, scale: "norm", feedback: false, qjl: true };
}
