/** @file Sections of the benchmarks on quality: our evaluation, and its agreement with another implementation. */
import { ORACLE_SEED } from "../oracle/signs.ts";
import { fixed, num, type Row, recordedAs, rows, table, target } from "./rows.ts";

/** record: name of the rows in bench/results · recall: name of the rows with needles, when those were measured in a separate run */
export function qualitySection(record: string, recall = record): string {
  const all = rows(record);
  const needles = new Map(rows(recall).map((r) => [r["kv"], r]));
  const recallText = (kv: string): string => {
    const row = needles.get(kv);
    if (!row || row["needle"] === null) return "";
    return `${fixed(100 * num(row, "needle"), 1)} / ${fixed(100 * num(row, "needleBase"), 1)} %`;
  };
  if (all.length === 0) return "Not recorded.";
  const body = all.map((r) => [
    String(r["kv"]),
    fixed(num(r, "bitsPerValue"), 2),
    fixed(num(r, "ppl") / num(r, "pplBase"), 4),
    num(r, "kldMean").toExponential(2),
    num(r, "kldP99").toExponential(2),
    num(r, "kldP999").toExponential(2),
    `${fixed(100 * num(r, "top1"), 1)} %`,
    recallText(String(r["kv"])),
  ]);
  return table(["cache", "bits a value", "PPL ratio", "mean KLD", "p99", "p99.9", "same top-1", "needle / f16"], body);
}

/** Targets for the formats on the 9M model of the reference family. */
export function judgeFamily(): void {
  const [quality, recall] = [rows("quality-9m"), rows("recall-9m")];
  const of = (preset: string, field: string): number => {
    const all = field.startsWith("needle") ? recall : quality;
    const kv = recordedAs(all, preset);
    return num(
      all.find((r) => r["kv"] === kv),
      field,
    );
  };
  const named = (preset: string): string => recordedAs(quality, preset);
  const bare = (format: string): number => of(`${format},sinks=0,window=0`, "kldMean");
  target(
    "9M: KLD of k4v4 without sinks and window, to paper-4",
    bare("k4v4") / of("paper-4", "kldMean"),
    "≤",
    0.55,
    "×",
  );
  target("9M: the same, to rotated q4_0", bare("k4v4") / of("q4_0r", "kldMean"), "≤", 1, "×");
  target(
    "9M: KLD of k3v3 without sinks and window, to paper-3",
    bare("k3v3") / of("paper-3", "kldMean"),
    "≤",
    0.6,
    "×",
  );
  target(`9M: KLD of ${named("k3v3")}`, of("k3v3", "kldMean"), "≤", 0.0018, "nats", 5);
  target(`9M: top-1 of ${named("k3v3")}`, 100 * of("k3v3", "top1"), "≥", 97.5, "%", 1);
  target(`9M: KLD of ${named("k2v2")}`, of("k2v2", "kldMean"), "≤", 0.007, "nats", 5);
  target(
    `9M: recall of ${recordedAs(recall, "k4v4")} over 200 needles, to f16`,
    of("k4v4", "needle") / of("k4v4", "needleBase"),
    "≥",
    1,
    "×",
  );
  target(`9M: recall of ${recordedAs(recall, "k2v2")} over 200 needles`, 100 * of("k2v2", "needle"), "≥", 95, "%", 1);
}

/** Formats on the published model, at each length that was recorded. */
export function publishedSection(): string {
  const all = rows("quality-published");
  if (all.length === 0) return "Not recorded.";
  const body = all.map((r) => [
    tokensOf(r),
    String(r["kv"]),
    fixed(num(r, "bitsPerValue"), 2),
    fixed(num(r, "ppl") / num(r, "pplBase"), 4),
    num(r, "kldMean").toExponential(2),
    num(r, "kldP99").toExponential(2),
    num(r, "kldP999").toExponential(2),
    `${fixed(100 * num(r, "top1"), 1)} %`,
  ]);
  return table(["tokens", "cache", "bits a value", "PPL ratio", "mean KLD", "p99", "p99.9", "same top-1"], body);
}

/** Such as `2 × 2,048`. */
export const tokensOf = (row: Row): string => `${num(row, "chunks")} × ${num(row, "ctx").toLocaleString("en-US")}`;

/** Targets for presets and for formats of a size, as a first load of the published model gives them. */
export function judgePublished(): void {
  const all = rows("quality-published");
  const judge = (length: number, kv: string, nats: number, bits: number): void => {
    const row = all.find((r) => r["ctx"] === length && r["kv"] === kv);
    const what = `SmolLM2-135M-Instruct, ${length.toLocaleString("en-US")} tokens`;
    target(`${what}: KLD of ${kv}`, num(row, "kldMean"), "≤", nats, "nats", 5);
    target(`${what}: bits a value of ${kv}, all counted`, num(row, "bitsPerValue"), "≤", bits, "bits");
  };
  judge(2048, "k4v4", 0.00055, 4.65);
  judge(2048, "k3v3", 0.003, 3.65);
  judge(2048, "k2v2", 0.014, 2.65);
  judge(8192, "k4v4", 0.0008, 4.45);
  judge(8192, "k3v3", 0.0045, 3.45);
  for (const [bits, nats] of [
    [4.45, 0.0008],
    [3.45, 0.0045],
    [2.7, 0.015],
  ] as const) {
    const fitting = all.filter((r) => r["ctx"] === 8192 && num(r, "bitsPerValue") <= bits);
    const least = Math.min(...fitting.map((r) => num(r, "kldMean")));
    target(`SmolLM2-135M-Instruct, 8,192 tokens: KLD of the best format of ${bits} bits`, least, "≤", nats, "nats", 5);
  }
  for (const [ours, theirs, limit] of [
    ["k4v4", "paper-4", 0.33],
    ["k3v3", "paper-3", 0.36],
  ] as const) {
    const of = (kv: string): number =>
      num(
        all.find((r) => r["ctx"] === 2048 && r["kv"] === kv),
        "kldMean",
      );
    const ratio = of(`${ours},sinks=0,window=0`) / of(theirs);
    target(`SmolLM2-135M-Instruct: KLD of ${ours} without sinks and window, to ${theirs}`, ratio, "≤", limit, "×");
  }
}

/** Codes without sinks and window: the effect of each option of `kNvM`, compared with the published recipe of equal bits. */
export function codesSection(): string {
  const all = rows("codes");
  if (all.length === 0) return "Not recorded.";
  const published = new Map(all.map((r) => [String(r["kv"]), num(r, "kldMean")]));
  const body = all.map((r) => {
    const bits = /^(?:k|paper-)([1-8])/.exec(String(r["kv"]))?.[1];
    const paper = bits ? published.get(`paper-${bits}`) : undefined;
    return [
      String(r["lever"] ?? ""),
      String(r["kv"]),
      fixed(num(r, "bitsPerValue"), 2),
      num(r, "kldMean").toExponential(2),
      paper ? fixed(num(r, "kldMean") / paper, 3) : "",
      `${fixed(100 * num(r, "top1"), 1)} %`,
    ];
  });
  return table(["lever", "cache", "bits a value", "mean KLD", "of paper-N", "same top-1"], body);
}

/** The cost and the effect of sinks and windows, in 8 bits and in 16. */
export function windowSection(): string {
  const all = rows("window");
  if (all.length === 0) return "Not recorded.";
  const body = all.map((r) => [
    String(r["model"]).replace(/^.*\//, ""),
    String(r["kv"]),
    fixed(num(r, "bitsPerValue"), 2),
    num(r, "kldMean").toExponential(2),
    num(r, "kldP999").toExponential(2),
    `${fixed(100 * num(r, "top1"), 1)} %`,
  ]);
  return table(["model", "cache", "bits a value", "mean KLD", "p99.9", "same top-1"], body);
}

interface OracleLine {
  readonly model: string;
  readonly spec: string;
  readonly oracle: { readonly ppl: number; readonly kld?: number };
  readonly ppl: number;
  readonly kld?: number;
  readonly verdict: string;
  readonly row?: { readonly kv: string };
}

/** Which random signs a row was measured with; an exact cache has none. */
function signsOf({ row }: OracleLine): string {
  if (!row) return "";
  return row.kv.endsWith(`,seed=${ORACLE_SEED}`) ? "oracle's" : "ours";
}

export function oracleSection(): string {
  const lines = rows("oracle") as unknown as OracleLine[];
  if (lines.length === 0) return "Not recorded.";
  const body = lines.map((l) => [
    l.model,
    l.spec,
    `${fixed(l.ppl, 3)} / ${fixed(l.oracle.ppl, 3)}`,
    `${fixed(100 * (l.ppl / l.oracle.ppl - 1), 2)} %`,
    l.oracle.kld === undefined ? "" : `${fixed(l.kld ?? Number.NaN, 5)} / ${fixed(l.oracle.kld, 5)}`,
    l.oracle.kld === undefined ? "" : `${fixed(100 * ((l.kld ?? Number.NaN) / l.oracle.kld - 1), 1)} %`,
    signsOf(l),
    l.verdict,
  ]);
  return table(["model", "cache", "PPL, ours / oracle", "", "mean KLD, ours / oracle", "", "signs", "verdict"], body);
}
