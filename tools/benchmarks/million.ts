/** @file A large model with up to a million tokens on one GPU, and tokens that are found among them (bench/gpu/main.ts million, needles). */
import { fixed, num, type Row, recordedAs, rows, table, target, times } from "./rows.ts";

const formatsOf = (all: readonly Row[]): string[] => [recordedAs(all, "k4v4"), "f16"];
const TESTS = ["tg16", "pp512"];
const gigabytes = (bytes: number): string => fixed(bytes / 1e9, 1);

function speedTable(all: readonly Row[]): string {
  const formats = formatsOf(all);
  const depths = [...new Set(all.map((r) => num(r, "context")))].sort((a, b) => a - b);
  const find = (kv: string, test: string, depth: number): Row | undefined =>
    all.find((r) => r["kv"] === kv && num(r, "context") === depth && String(r["test"]).startsWith(test));
  const rate = (row: Row | undefined): string =>
    row
      ? `${fixed(num(row, "tokPerSec"), 1)} (${fixed(num(row, "minTokPerSec"), 1)}–${fixed(num(row, "maxTokPerSec"), 1)})`
      : "–";
  const body = depths.map((depth) => {
    const decoded = formats.map((kv) => find(kv, "tg16", depth));
    return [
      depth.toLocaleString("en-US"),
      ...decoded.flatMap((row) => [gigabytes(num(row, "kvBytes")), gigabytes(num(row, "deviceBytes"))]),
      ...TESTS.flatMap((test) => formats.map((kv) => rate(find(kv, test, depth)))),
      decoded[1] ? times(num(decoded[0], "tokPerSec") / num(decoded[1], "tokPerSec")) : "–",
    ];
  });
  const bytes = formats.flatMap((kv) => [`${kv}, cache GB`, `${kv}, device GB`]);
  const speeds = ["decode", "prefill"].flatMap((what) => formats.map((kv) => `${what}, ${kv}`));
  return table(["tokens", ...bytes, ...speeds, `decode, ${formats[0]} to f16`], body);
}

function needleTable(all: readonly Row[]): string {
  const body = all.map((r) => [
    String(r["kv"]),
    num(r, "context").toLocaleString("en-US"),
    String(num(r, "depth")),
    String(r["isFound"]) === "true" ? "yes" : "**no**",
    fixed(num(r, "weight"), 4),
    fixed(num(r, "weightByReference"), 4),
  ]);
  return table(["cache", "tokens", "depth", "found", "weight", "by the reference"], body);
}

/** Microseconds of one layer's decode attention by query heads, before and now where that changed. */
function headsTable(all: readonly Row[]): string {
  const body = all.map((r) => [
    String(r["kv"]),
    num(r, "context").toLocaleString("en-US"),
    String(num(r, "queryHeads")),
    String(r["what"]),
    fixed(num(r, "medianUs"), 0),
    fixed(num(r, "gbPerSec") / 1000, 2),
  ]);
  return table(["cache", "tokens", "query heads", "", "µs", "TB/s"], body);
}

export function millionSections(record: string): (readonly [string, string, string])[] {
  const all = rows(record);
  if (all.length === 0) return [];
  const machine = all.find((r) => r["kind"] === "machine");
  const loaded = all.find((r) => r["kind"] === "million-load");
  const speeds = all.filter((r) => r["kind"] === "million");
  const needles = all.filter((r) => r["kind"] === "needle");
  target(
    "H200: tokens of context with a 32B model in f16 and k4v4",
    Math.max(...speeds.map((r) => num(r, "context"))),
    "≥",
    1_048_576,
    "tokens",
    0,
  );
  target(
    "H200: worst weight of a needle among a million tokens, to the reference's",
    Math.max(...needles.map((r) => Math.abs(num(r, "weight") - num(r, "weightByReference")))),
    "≤",
    0.01,
    "",
    4,
  );
  const how = `Qwen3-32B's shape with random weights in f16 (${gigabytes(num(loaded, "weightBytes"))} GB, loaded in ${fixed(num(loaded, "seconds"), 0)} s) and a cache filled with random keys and values; tok/s of 16 tokens decoded and of 512 read behind so many, least and most of 5 in brackets; device GB as the driver reports them. \`bench/gpu/main.ts million\`. ${machine?.["gpu"]}, driver ${machine?.["driver"]}; rows to 262,144 from one process, each other from one of its own.`;
  const heads = all.filter((r) => r["kind"] === "attention-heads");
  const byHeads =
    "The f16 speeds above are of eight query heads a workgroup, whose registers do not suffice. Decode attention of one layer with 8 KV heads by the GPU's clock (`attention-heads`), then and with four a workgroup:";
  const found =
    "A key planted among random ones is to be found by its query: its weight in the output of attention, on the GPU and by the reference, which sums in f64, from the same saved bytes (`needles`):";
  return [
    [
      `On an ${String(machine?.["gpu"]).replace("NVIDIA ", "")}: a million tokens`,
      how,
      [speedTable(speeds), byHeads, headsTable(heads), found, needleTable(needles)].join("\n\n"),
    ],
  ];
}
