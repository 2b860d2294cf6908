/**
 * @file Everything that is measured on a GPU, in one go: `npx tsx bench/gpu/main.ts [--out FILE] [--kv FORMAT …] [--tuning JSON …] [--calibrated] [PART …]`, or the
 * bundle of it that pack.sh makes. `decode:16,512` takes other contexts; `--kv`, as often as wanted, other cache formats in attention, attention-rows, decode,
 * prefill, prefill-attention, kernels, token-kernels and batches; `--tuning '{"own":2}'` other settings of the kernel in attention;
 * `--calibrated` a random calibration in decode, prefill, kernels and token-kernels, without which codes have no error feedback. One JSON row a line, also to FILE as they come; a part that fails leaves a row with `error`.
 */
import { appendFileSync } from "node:fs";
import "../../src/node/install.ts";
import type { DecodeTuning } from "../../src/backends/webgpu/attention/decode-attention.ts";
import { readCommandLine, refuse } from "../../tools/command-line.ts";
import { measureAttention, measureHeads, sweepAttention, sweepHeads } from "./attention.ts";
import { measureRows } from "./attention-rows.ts";
import { measureBatches } from "./batches.ts";
import { measureExperts } from "./experts.ts";
import { measureKernels, measureTokenKernels } from "./kernel-times.ts";
import { measureLinear, measureLinearLarge } from "./linear.ts";
import { checkLinear } from "./linear-check.ts";
import { measureMemory } from "./memory.ts";
import { measureMillion } from "./million.ts";
import { measureModel } from "./model.ts";
import { findNeedles } from "./needles.ts";
import { measureParity } from "./parity.ts";
import { measurePrefillAttention, measurePrefillFloats } from "./prefill-attention.ts";
import { checkPrefill } from "./prefill-check.ts";

const SHAPE = "qwen3-0.6b";

const { values, positionals: parts } = readCommandLine({
  options: {
    out: { type: "string" },
    kv: { type: "string", multiple: true },
    tuning: { type: "string", multiple: true },
    calibrated: { type: "boolean", default: false },
  },
  allowPositionals: true,
});
/** Formats that were asked for, or those of a part. */
const formats = (usual: readonly string[]): readonly string[] => values.kv ?? usual;
const tunings = (values.tuning ?? ["{}"]).map((text): DecodeTuning => {
  try {
    return JSON.parse(text);
  } catch {
    return refuse(`--tuning: expected JSON such as {"own":2}, got ${text}`);
  }
});
const BOTH = formats(["f16", "k4v4"]);
const model = {
  ...{ shape: SHAPE, kv: BOTH, prompts: [], generations: [], repeats: 15, isCalibrated: values.calibrated },
  weights: "f16" as const,
};

const ATTENTION_KV = ["f16", "k8v8", "k8v4", "k4v4", "k3v3"];

async function* measureAll(
  kv: readonly string[],
  each: (kv: string) => AsyncGenerator<object>,
): AsyncGenerator<object> {
  for (const format of kv) yield* each(format);
}

const PARTS: Readonly<Record<string, (numbers: readonly number[]) => AsyncGenerator<object>>> = {
  "parity-f32": () => measureParity({ without: ["f16", "matrices"] }),
  "parity-portable": () => measureParity({ without: ["f16", "matrices", "subgroups"] }),
  parity: () => measureParity({}),
  attention: (contexts) =>
    measureAttention(contexts.length > 0 ? contexts : [4096, 32_768, 131_072], formats(ATTENTION_KV), tunings),
  "attention-heads": (contexts) => measureHeads(contexts.length > 0 ? contexts : [131_072], ["f16", "k4v4"]),
  "attention-heads-sweep": (contexts) => sweepHeads(contexts.length > 0 ? contexts : [131_072], ["k4v4"]),
  "attention-sweep": (contexts) => sweepAttention(contexts.length > 0 ? contexts : [131_072], ["k4v4"]),
  "attention-rows": ([context, ...rows]) =>
    measureAll(BOTH, (kv) => measureRows(kv, context ?? 672, rows.length > 0 ? rows : [8, 16, 32, 64])),
  decode: (contexts) =>
    measureModel({
      ...model,
      generations: [64],
      depths: contexts.length > 0 ? contexts : [16, 512, 2048, 4096, 16_384, 65_536],
    }),
  prefill: () => measureModel({ ...model, prompts: [4096], depths: [0] }),
  kernels: ([prompt]) => measureKernels(SHAPE, prompt ?? 4096, BOTH, values.calibrated),
  "token-kernels": ([context, streams]) =>
    measureTokenKernels(SHAPE, context ?? 2048, BOTH, streams, values.calibrated),
  "prefill-check": () => checkPrefill(),
  "prefill-attention": () => measurePrefillAttention(values.kv),
  "prefill-attention-f32": () => measurePrefillFloats(),
  "linear-check": () => checkLinear(),
  linear: (rows) => measureLinear(rows),
  "linear-large": (rows) => measureLinearLarge(rows),
  experts: (rows) => measureExperts(rows.length > 0 ? rows : [256, 1024]),
  "linear-check-views": () => checkLinear(true),
  "linear-views": (rows) => measureLinear(rows, true),
  batches: (streams) =>
    measureBatches({
      shape: SHAPE,
      weights: "f16",
      kv: BOTH,
      streams: streams.length > 0 ? streams : [1, 2, 4, 8, 16, 32, 64],
      context: 512,
    }),
  million: (depths) => measureMillion(depths.length > 0 ? depths : [131_072, 262_144, 524_288, 1_048_576]),
  needles: (contexts) => findNeedles(contexts.length > 0 ? contexts : [131_072, 1_048_576], ["k4v4", "f16"]),
  memory: () => measureMemory(SHAPE, ["f16", "k4v4", "k8v4", "k3v3"], 65_536),
};

const nameOf = (part: string): string => part.split(":")[0]!;
const unknown = parts.filter((part) => !(nameOf(part) in PARTS));
if (unknown.length > 0) refuse(`expected parts of ${Object.keys(PARTS).join(", ")}, got ${unknown.join(", ")}`);

function print(row: object): void {
  const line = JSON.stringify(row);
  console.log(line);
  if (values.out) appendFileSync(values.out, `${line}\n`);
}

for (const part of parts.length > 0 ? parts : Object.keys(PARTS)) {
  const started = performance.now();
  try {
    const numbers = (part.split(":")[1] ?? "").split(",").filter(Boolean).map(Number);
    for await (const row of PARTS[nameOf(part)]!(numbers)) print(row);
  } catch (error) {
    print({ kind: part, error: String((error as Error).stack ?? error) });
  }
  print({ kind: "part", part, seconds: Math.round((performance.now() - started) / 100) / 10 });
}
