/** @file Tables of docs/findings.md made from recorded rows (tools/record-findings.ts). A missing figure is a dash. */
import { formatRate } from "../../src/cli/format.ts";
import { wilson } from "../../src/eval/intervals.ts";
import { significant } from "../../src/format-number.ts";
import {
  type AllocationFinding,
  type EvalFinding,
  findingRows,
  findRow,
  oracleRows,
  type VectorFinding,
} from "./rows.ts";
import { figures } from "./table.ts";

const MODELS = ["qwen3-1m", "qwen3-3m", "qwen3-9m", "mistral-9m"];
const BITS = [2, 3, 4, 5, 6, 7];

const rows = findingRows();
const oracle = oracleRows();
/** The row that was measured on the most text. */
const measured = (kv: string, model: string, write: (row: EvalFinding) => string): string => {
  const row = findRow(oracle, "eval", model, kv) ?? findRow(rows, "eval", model, kv);
  return row ? write(row) : "–";
};
/** Rows measured on one and the same text for all formats of a model, so that small differences are meaningful. */
const compared = (kv: string, write: (row: EvalFinding) => string): string[] =>
  MODELS.map((model) => {
    const row = findRow(rows, "eval", model, kv);
    return row ? write(row) : "–";
  });
const kld = (row: EvalFinding): string => significant(row.kldMean);
const top1 = ({ top1, tokens }: EvalFinding): string => {
  const { low, high } = wilson(Math.round(top1 * tokens), tokens);
  return formatRate(top1, low, high);
};
const ppl = (row: EvalFinding): string => `${row.pplRatio.toFixed(3)} ± ${row.pplRatioSe.toFixed(3)}`;
const byModel = (kv: string, write: (row: EvalFinding) => string): string[] =>
  MODELS.map((model) => measured(kv, model, write));

/** Agreement on the next token by bits and model, with the codec as published. */
export function sizes(): string {
  return figures(
    ["bits, K and V", ...MODELS],
    BITS.map((bits) => [String(bits), ...byModel(`paper-${bits}`, top1)]),
  );
}

export function perplexities(): string {
  return figures(
    ["bits, K and V", ...MODELS],
    BITS.map((bits) => [String(bits), ...byModel(`paper-${bits}`, ppl)]),
  );
}

/** Mean divergence with only keys, only values, and both quantized. */
export function sides(): string {
  const lines = [2, 3, 4].flatMap((bits) => [
    [`${bits} bits, keys alone`, ...byModel(`paper-${bits},v=f16`, kld)],
    [`${bits} bits, values alone`, ...byModel(`paper-${bits},k=f16`, kld)],
    [`${bits} bits, both`, ...byModel(`paper-${bits}`, kld)],
  ]);
  return figures(["mean KLD, nats", ...MODELS], lines);
}

export function qjlInModels(): string {
  const lines = [3, 4, 5].flatMap((bits) => [
    [`${bits} bits of codes`, ...compared(`paper-${bits}`, kld)],
    [`${bits - 1} bits of codes and QJL for K`, ...compared(`paper-${bits}+qjl`, kld)],
  ]);
  return figures(["mean KLD, nats", ...MODELS], lines);
}

export function iterationsInModels(): string {
  const formats = [
    ["10 iterations", "paper-4,codebook=10"],
    ["100 iterations", "paper-4,codebook=100"],
    ["converged", "paper-4"],
  ] as const;
  return figures(
    ["4 bits, mean KLD in nats", ...MODELS],
    formats.map(([what, kv]) => [what, ...compared(kv, kld)]),
  );
}

/** Of formats those that rows were recorded of: presets may be, with a window of 8 bits, of 16, or both. */
const recorded = (kind: "eval" | "answer", formats: readonly string[]): string[] =>
  formats.filter((kv) => MODELS.some((model) => findRow(rows, kind, model, kv)));

/** Our presets with window and sinks, each with the model's calibration and without. */
export function presets(): string {
  const lines = ["k2v2", "k3v3", "k4v4", "k5v4"].flatMap((preset) =>
    recorded(
      "eval",
      ["", ",window=16bit"].flatMap((window) => [`${preset}${window}`, `${preset},calibration=off${window}`]),
    ).map((kv) => [kv, ...compared(kv, (row) => `${top1(row)}, ${kld(row)}`)]),
  );
  return figures(["top-1, mean KLD", ...MODELS], lines);
}

/** Cosines of vectors and of attention scores, averaged over layers, beside the divergence of the model's logits. */
export function scores(): string {
  const lines = MODELS.flatMap((model) =>
    [4, 3, 2].map((bits) => {
      const row = findRow(rows, "cosines", model, `paper-${bits}`);
      const mean = (values: readonly (number | null)[]): string =>
        (values.reduce<number>((sum, value) => sum + value!, 0) / values.length).toFixed(4);
      const layers = row?.layers ?? [];
      const cells = row
        ? [
            mean(layers.map((l) => l.keyCosine)),
            mean(layers.map((l) => l.valueCosine)),
            mean(layers.map((l) => l.scoreCosine)),
            (
              0.5 *
              (layers.reduce((p, l) => p * l.keyCosine, 1) + layers.reduce((p, l) => p * l.valueCosine, 1))
            ).toFixed(3),
          ]
        : ["–", "–", "–", "–"];
      return [`${model}, ${bits} bits`, ...cells, measured(`paper-${bits}`, model, kld)];
    }),
  );
  return figures(["", "keys", "values", "attention scores", "product over layers", "mean KLD"], lines);
}

/** The greedy answers of each model. */
export function france(): string {
  const formats = [
    "f16",
    ...[7, 6, 5, 4, 3, 2].map((bits) => `paper-${bits}`),
    ...[4, 3, 2].flatMap((bits) => [`paper-${bits},v=f16`, `paper-${bits},k=f16`]),
    ...recorded(
      "answer",
      ["k4v4", "k3v3", "k2v2"].flatMap((preset) => [preset, `${preset},window=16bit`]),
    ),
  ];
  const answer = (kv: string, model: string): string =>
    findRow(rows, "answer", model, kv)?.answer.replaceAll("|", "\\|") ?? "–";
  return figures(
    ["kv", ...MODELS],
    formats.map((kv) => [kv, ...MODELS.map((model) => answer(kv, model))]),
  );
}

/** How sensitive each layer is, and the gain of different widths over uniform ones of the same bytes. */
export function allocations(): string {
  const lines = MODELS.flatMap((model) => {
    const row = rows.findLast((r): r is AllocationFinding => r.kind === "allocation" && r.model === model);
    if (!row) return [[model, "–", "–", "–", "–", "–"]];
    const list = (values: readonly number[]): string => values.map((x) => x.toFixed(3).replace(/^0/, "")).join(" ");
    const isUniform = row.best.kv === row.uniform.kv;
    const own = isUniform ? "none better" : row.best.kv.replace(",sinks=0,window=0", "");
    const gain = isUniform ? "" : `${significant(row.gain.mean)} ± ${significant(row.gain.standardError)}`;
    return [[model, list(row.alone.k), list(row.alone.v), significant(row.uniform.kldMean), own, gain]];
  });
  return figures(
    [
      "",
      "KLD of K alone at 2 bits, first layer to last",
      "of V alone",
      "3 bits everywhere, KLD",
      "widths found",
      "gained",
    ],
    lines,
  );
}

/** Squared error over squared norm, by codec, for vectors saved from a larger model. */
export function realVectors(): string {
  const found = rows.filter((row): row is VectorFinding => row.kind === "vectors");
  const ordered = found.toSorted((a, b) => a.side.localeCompare(b.side) || a.layer - b.layer);
  const codecs = ordered[0]?.errors.map(([codec]) => codec) ?? [];
  return figures(
    ["", ...ordered.map(({ layer, side }) => `${side === "k" ? "keys" : "values"}, layer ${layer}`)],
    codecs.map((codec, i) => [codec, ...ordered.map(({ errors }) => errors[i]![1].toFixed(4))]),
  );
}
