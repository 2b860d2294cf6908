/** @file Rows for tests of the report, with figures made by a formula. */
import { type ReportRow, reportRow } from "../../src/lab/report/report-row.ts";

export interface TestRow {
  readonly kv: string;
  readonly bits: number;
  readonly kld: number;
  readonly more?: object;
}

export function testRow({ kv, bits, kld, more = {} }: TestRow): ReportRow {
  return reportRow(
    {
      model: "qwen3-3m",
      kv,
      base: "f16",
      textSource: "a.txt",
      ctx: 1024,
      chunks: 4,
      tokens: 4096,
      bitsPerValue: bits,
      ppl: 50 * (1 + kld),
      pplBase: 50,
      pplRatio: 1 + kld / 4,
      pplRatioSe: 0.0005,
      kldMean: kld,
      kldMeanSe: kld / 20,
      kldMedian: kld / 2,
      kldP99: kld * 8,
      kldP999: kld * 20,
      top1: Math.max(0, 1 - 2 * Math.sqrt(kld / 4)),
      needle: null,
      ...more,
    },
    "test",
  );
}

/** The published codec at every width, keys and values alone at some, ours, a baseline. */
export function familyRows(more: object = {}): ReportRow[] {
  const rows: TestRow[] = [];
  for (let bits = 2; bits <= 8; bits++) {
    rows.push({ kv: `paper-${bits}`, bits: bits + 0.25, kld: 4 ** -bits * 8 });
    rows.push({ kv: `k${bits}v${bits},sinks=0,window=0`, bits: bits + 0.25, kld: 4 ** -bits * 5 });
  }
  rows.push({ kv: "paper-4,v=f16", bits: 10.125, kld: 0.02 }, { kv: "paper-4,k=f16", bits: 10.125, kld: 0.01 });
  rows.push({ kv: "q8_0", bits: 8.5, kld: 0.0002 });
  return rows.map((row) => testRow({ ...row, more }));
}
