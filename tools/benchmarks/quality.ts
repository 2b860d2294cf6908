/** @file Sections of the benchmarks on quality: our evaluation, and its agreement with another implementation. */
import { ORACLE_SEED } from "../oracle/signs.ts";
import { fixed, num, recordedAs, rows, table, target } from "./rows.ts";

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
