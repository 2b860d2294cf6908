/** @file Sections of the benchmarks on the CPU: decode attention, whole decode, prefill, memory (bench/record.sh). */
import { fixed, median, num, type Row, recordedAs, rows, table, target, times } from "./rows.ts";

// Decode attention of one layer.
export const attention = rows("attention");
/** The format that others are compared with. */
export const attentionFormat = recordedAs(attention, "k4v4");
const layerPeers = rows("peers-layer").filter((r) => r["status"] === "ok" && num(r, "depth") > 0);
export const peerAttention = (kv: string, threads: number): number => {
  const row = layerPeers.find((r) => r["kv"] === kv && num(r, "threads") === threads);
  const slope = row?.["attentionMsPerLayerPer1K"] as unknown as { bestToken?: number; median?: number } | undefined;
  const { bestToken = Number.NaN, median = bestToken } = slope ?? {};
  // The best tokens cannot be slower than the usual ones: then the machine had other work at one of the depths.
  return bestToken <= median ? bestToken : Number.NaN;
};
const attentionAt = (kv: string, depth: number, threads: number): Row | undefined =>
  attention.find((r) => r["kv"] === kv && num(r, "n_depth") === depth && num(r, "n_threads") === threads);
export const attentionMs = (kv: string, depth: number, threads: number): number =>
  num(attentionAt(kv, depth, threads), "ms_per_1k_median");

export function attentionSection(): string {
  const depths = [...new Set(attention.map((r) => num(r, "n_depth")))];
  const kvs = [...new Set(attention.map((r) => String(r["kv"])))];
  const parts: string[] = [];
  for (const threads of [1, 2]) {
    const own = kvs.map((kv) => [
      `ours, ${kv}`,
      ...depths.map(
        (d) =>
          `${fixed(attentionMs(kv, d, threads), 3)} (±${fixed(100 * num(attentionAt(kv, d, threads), "spread"), 0)} %)`,
      ),
      times(attentionMs(kv, depths.at(-1)!, threads) / attentionMs(attentionFormat, depths.at(-1)!, threads)),
    ]);
    const peers = ["f16", "q8_0", "q4_0"].map((kv) => {
      const ms = peerAttention(kv, threads);
      return [
        `llama.cpp, ${kv}`,
        ...depths.map((d) => (d === 4096 ? fixed(ms, 3) : "")),
        times(ms / attentionMs(attentionFormat, 4096, threads)),
      ];
    });
    parts.push(
      `${threads} thread${threads > 1 ? "s" : ""}:`,
      table(["cache", ...depths.map((d) => `at ${d}`), `to ${attentionFormat}`], [...own, ...peers]),
    );
    const limit = threads === 1 ? 0.5 : 0.28;
    for (const d of [4096, 16384])
      target(
        `decode attention, ${attentionFormat}, ${d} tokens, ${threads} thread(s)`,
        attentionMs(attentionFormat, d, threads),
        "≤",
        limit,
        "ms per 1K",
      );
    if (Number.isFinite(peerAttention("f16", threads))) {
      target(
        `decode attention, f16 against llama.cpp's f16, ${threads} thread(s)`,
        attentionMs("f16", 4096, threads) / peerAttention("f16", threads),
        "≤",
        1,
        "×",
      );
    }
  }
  for (const kv of ["k8v4", "k5v4", "k3v3"].map((preset) => recordedAs(attention, preset))) {
    target(
      `decode attention, ${kv} to ${attentionFormat}, 16384 tokens, 1 thread`,
      attentionMs(kv, 16384, 1) / attentionMs(attentionFormat, 16384, 1),
      "≤",
      1.6,
      "×",
    );
  }
  return parts.join("\n\n");
}

// Decode of a whole model.
const decode = rows("decode");
export const decodeFormat = recordedAs(decode, "k4v4");
const peers = rows("peers");
export const ourDecodeRate = (kv: string, depth: number): number =>
  median(
    decode
      .filter((r) => r["kv"] === kv && num(r, "n_depth") === depth && num(r, "n_gen") > 0)
      .map((r) => num(r, "median_ts")),
  );
export const llamaCppDecodeRate = (kv: string, depth: number): number =>
  median(
    peers
      .filter((r) => r["kv"] === kv && num(r, "depth") === depth && r["status"] === "ok")
      .map((r) => num(r, "tokPerSec")),
  );

export function decodeSection(): string {
  const body = [
    ...["f16", decodeFormat].map((kv) => [
      `ours, ${kv}, q8 weights`,
      fixed(ourDecodeRate(kv, 0), 1),
      fixed(ourDecodeRate(kv, 4096), 1),
    ]),
    ...["f16", "q8_0", "q4_0"].map((kv) => {
      const unfinished = peers.find((r) => r["kv"] === kv && num(r, "depth") === 4096 && r["status"] !== "ok");
      const deep = llamaCppDecodeRate(kv, 4096);
      return [
        `llama.cpp, ${kv}, q8_0 weights`,
        fixed(llamaCppDecodeRate(kv, 0), 1),
        Number.isFinite(deep) ? fixed(deep, 1) : String(unfinished?.["status"] ?? "–"),
      ];
    }),
  ];
  const best = (depth: number): number =>
    Math.max(...["f16", "q8_0", "q4_0"].map((kv) => llamaCppDecodeRate(kv, depth)).filter(Number.isFinite));
  target(
    `whole decode, ${decodeFormat}, depth 0, to llama.cpp's best cache`,
    ourDecodeRate(decodeFormat, 0) / best(0),
    "≥",
    0.8,
    "×",
  );
  target(
    `whole decode, ${decodeFormat}, depth 4096, to llama.cpp's best cache`,
    ourDecodeRate(decodeFormat, 4096) / best(4096),
    "≥",
    2,
    "×",
  );
  return table(["cache", "tok/s at depth 0", "tok/s at depth 4096"], body);
}

export function prefillSection(): string {
  const body = rows("prefill").map((r) => [
    String(r["kv"]),
    fixed(num(r, "median_ts"), 0),
    `±${fixed(100 * num(r, "spread"), 0)} %`,
    times(num(r, "time_ratio")),
    fixed(num(r, "peak_growth_bytes") / 2 ** 20, 1),
    fixed(num(r, "kv_bytes") / 2 ** 20, 1),
  ]);
  const k4v4 = recordedAs(rows("prefill"), "k4v4");
  const k4 = rows("prefill").find((r) => r["kv"] === k4v4);
  target(`prefill into ${k4v4}, time to f16`, num(k4, "time_ratio"), "≤", 1.15, "×");
  target(
    `prefill into ${k4v4}, memory beyond the cache itself`,
    (num(k4, "peak_growth_bytes") - num(k4, "storage_bytes")) / 2 ** 20,
    "≤",
    16,
    "MiB",
    1,
  );
  return table(["cache", "tok/s", "spread", "time to f16", "peak growth, MiB", "cache, MiB"], body);
}

export function memorySection(): string {
  const all = rows("memory");
  const body = all.map((r) => [
    String(r["kv"]),
    fixed(num(r, "kv_bytes") / 2 ** 20, 1),
    times(num(r, "ratio")),
    fixed(num(r, "resident_bytes") / 2 ** 20, 1),
  ]);
  const k4 = all.find((r) => r["kv"] !== "f16");
  target("bytes of a 32K-token cache, f16 to k4v4 without window and sinks", num(k4, "ratio"), "≥", 3.8, "×");
  target(
    "resident memory saved, difference to what numBytes says",
    Math.abs(1 - num(k4, "saved_resident_bytes") / num(k4, "saved_bytes")) * 100,
    "≤",
    10,
    "%",
    1,
  );
  return table(["cache", "numBytes, MiB", "smaller", "resident, MiB"], body);
}
