/** @file Several sequences decoded together on a GPU, and products of so many rows (bench/gpu/main.ts batches, linear). */
import { fixed, num, type Row, recordedAs, rows, table } from "./rows.ts";

const formatsOf = (all: readonly Row[]): string[] => ["f16", recordedAs(all, "k4v4")];
const VERSIONS = ["before", "now"];
const SHAPES = ["qkv", "o", "gate_up", "down", "head"];

/** A figure of several rounds: the median of the rounds' medians, and the least and the most of all. */
function rateText(rounds: readonly Row[]): { readonly median: number; readonly text: string } {
  const sorted = rounds.map((r) => num(r, "tokPerSec")).sort((x, y) => x - y);
  const median = sorted[sorted.length >> 1] ?? Number.NaN;
  const least = Math.min(...rounds.map((r) => num(r, "minTokPerSec")));
  const most = Math.max(...rounds.map((r) => num(r, "maxTokPerSec")));
  return { median, text: `${fixed(median, 0)} (${fixed(least, 0)}–${fixed(most, 0)})` };
}

function rateTable(all: readonly Row[]): string {
  const formats = formatsOf(all);
  const streams = [...new Set(all.map((r) => num(r, "streams")))];
  const rate = (kv: string, version: string, count: number) =>
    rateText(all.filter((r) => r["kv"] === kv && r["version"] === version && num(r, "streams") === count));
  const body = streams.map((count) => [
    String(count),
    ...formats.flatMap((kv) => [
      ...VERSIONS.map((version) => rate(kv, version, count).text),
      `${fixed(rate(kv, "now", count).median / rate(kv, "now", 1).median, 1)}×`,
    ]),
  ]);
  const titles = formats.flatMap((kv) => [...VERSIONS.map((version) => `${kv}, ${version}`), "to one"]);
  return table(["sequences", ...titles], body);
}

function attentionTable(all: readonly Row[]): string {
  const formats = formatsOf(all);
  const counts = [...new Set(all.map((r) => num(r, "rows")))].sort((a, b) => a - b);
  const body = counts.map((count) => [
    String(count),
    ...formats.flatMap((kv) =>
      VERSIONS.map((version) => {
        const row = all.find((r) => r["kv"] === kv && r["version"] === version && num(r, "rows") === count);
        return fixed(num(row, "medianUs"), 1);
      }),
    ),
  ]);
  return table(["sequences", ...formats.flatMap((kv) => VERSIONS.map((version) => `${kv}, ${version}`))], body);
}

function productTable(all: readonly Row[]): string {
  const counts = [...new Set(all.map((r) => num(r, "rows")))].sort((a, b) => a - b);
  const body = counts.map((count) => [
    String(count),
    ...SHAPES.map((shape) => {
      const here = all.filter((r) => num(r, "rows") === count && r["shape"] === shape);
      const fastest = (isBatch: boolean): number =>
        Math.min(
          ...here.filter((r) => String(r["plan"]).startsWith("batch") === isBatch).map((r) => num(r, "us")),
          Number.POSITIVE_INFINITY,
        );
      return here.length === 0 ? "" : `${fixed(fastest(true), 1)} (${fixed(fastest(false), 1)})`;
    }),
  ]);
  return table(["rows", ...SHAPES], body);
}

function affineText(totals: readonly Row[]): string {
  const of = (count: number, version: string): string =>
    fixed(
      num(
        totals.find((r) => num(r, "rows") === count && r["version"] === version && r["plans"] === "chosen"),
        "us",
      ),
      0,
    );
  return `Products of a token by q4 weights, 28 layers and the head: ${of(1, "affine")} µs with a minimum a group, ${of(1, "symmetric")} with the symmetric q4 of before, of 1,024 rows ${of(1024, "affine")} and ${of(1024, "symmetric")} (\`linear:1,1024\` of both commits, one after the other).`;
}

/** Sections of benchmarks.md: title, how it was measured, text. */
export function batchSections(record: string): (readonly [string, string, string])[] {
  const all = rows(record);
  if (all.length === 0) return [];
  const machine = all.find((r) => r["kind"] === "machine");
  const card = String(machine?.["gpu"] ?? "GPU").replace("NVIDIA ", "");
  const checks = all.filter((r) => r["kind"] === "linear-check");
  const passed = checks.filter((r) => String(r["passed"]) === "true").length;
  const how = `Qwen3-0.6B's shape with random weights in f16, sequences of their own with 512 tokens each, greedy, drawn on the device; tok/s of all of them by the clock, least and most in brackets. \`bench/gpu/main.ts batches\`. ${machine?.["gpu"]}, driver ${machine?.["driver"]}; before and now a process each in turn, three rounds on one machine: the median of their medians. With up to 32 sequences the clock's time varies from round to round while the device's does not. ${passed} of ${checks.length} rows of \`linear-check\` agree with f64.`;
  const products =
    "Microseconds of a product of f16 weights with everything that belongs to it, the fastest tile, in brackets the fastest of the other kernels (`linear`):";
  return [
    [
      `On an ${card}: sequences together`,
      how,
      [
        rateTable(all.filter((r) => r["kind"] === "batch")),
        `Microseconds of decode attention of one layer with its merge, 672 keys a sequence, by the GPU's clock (\`attention-rows:672,8,16,32,64\`), before in other runs of the day:`,
        attentionTable(all.filter((r) => r["kind"] === "attention-rows")),
        products,
        productTable(all.filter((r) => r["kind"] === "linear")),
        affineText(all.filter((r) => r["kind"] === "linear-total")),
      ].join("\n\n"),
    ],
  ];
}
