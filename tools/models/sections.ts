/** @file The tables of docs/models.md: what is read, what it becomes, what computes with it, and what is refused. */
import { backendNames, backendOf } from "../../src/backends/registry.ts";
import { markdownTable } from "../../src/cli/format.ts";
import { typesOf } from "../../src/formats/gguf/architecture.ts";
import { ARCHITECTURES } from "../../src/formats/gguf/architectures.ts";
import { ggufTypes } from "../../src/formats/gguf/types.ts";
import { PRE_TOKENIZERS } from "../../src/formats/pre-tokenizers.ts";
import { schemes } from "../../src/formats/quantized/schemes.ts";
import { DTYPES } from "../../src/formats/safetensors-header.ts";
import { families, unsupportedTypes } from "../../src/models/registry.ts";
import { type WeightType, weightFormat } from "../../src/weights/registry.ts";
import { isPlain, rowBytes } from "../../src/weights/weight-format.ts";
import { KEPT, keptByFamily } from "./kept-by-family.ts";

const MAX_ROW = 256;

function table(titles: readonly string[], rows: readonly (readonly string[])[]): string {
  return markdownTable(
    titles.map((title) => ({ title, align: "left" as const })),
    rows,
  );
}

const code = (name: string): string => `\`${name}\``;
const mark = (is: boolean): string => (is ? "✓" : "–");

interface Row {
  readonly source: string;
  readonly kind: string;
  readonly stored: WeightType;
  /** Whether the stored rows have the codes of the file. */
  readonly keepsCodes: boolean;
}

const rows: readonly Row[] = [
  ...Object.entries(DTYPES).map(([kind, stored]) => ({ source: "safetensors", kind, stored, keepsCodes: true })),
  ...schemes.flatMap(({ name, kinds }) =>
    kinds.map(({ what, as, keepsCodes }) => ({ source: `safetensors, ${name}`, kind: what, stored: as, keepsCodes })),
  ),
  ...ggufTypes().flatMap(([, { name, format }]) =>
    format ? [{ source: "GGUF", kind: name.toUpperCase(), stored: format, keepsCodes: true }] : [],
  ),
];

const bitsOf = (type: string): string =>
  `${Number(((rowBytes(weightFormat(type), MAX_ROW) * 8) / MAX_ROW).toFixed(2))}`;

/** What `--weights auto` makes of rows in a format, and how. */
function keptAs({ stored, keepsCodes }: Row): readonly [type: string, how: string] {
  const { keptAs: kept } = weightFormat(stored);
  const type = kept?.type ?? stored;
  if (isPlain(weightFormat(type))) return [type, "as stored"];
  return [type, keepsCodes && (!kept || kept.convert) ? "codes kept" : "rounded"];
}

function formats(): string {
  const backends = backendNames();
  return table(
    ["file", "weights", "computed as", "bits a weight", "", ...backends],
    rows.map((row) => {
      const [type, how] = keptAs(row);
      return [
        ...[row.source, row.kind, code(type), bitsOf(type), how],
        ...backends.map((name) => mark(backendOf(name).capabilities.hasWeights(type))),
      ];
    }),
  );
}

function familyTable(): string {
  const inGguf = (modelType: string): string =>
    Object.entries(ARCHITECTURES)
      .filter(([, own]) => typesOf(own).includes(modelType))
      .map(([name]) => code(name))
      .join(", ") || "–";
  return table(
    ["`model_type`", "`general.architecture` in GGUF", "other than in Llama"],
    families.map(({ modelType, summary }) => [code(modelType), inGguf(modelType), summary]),
  );
}

function keptTable(): string {
  const kinds = Object.entries(KEPT) as [keyof typeof KEPT, (typeof KEPT)[keyof typeof KEPT]][];
  return table(
    ["`model_type`", ...backendNames(), ...kinds.map(([, [title]]) => title)],
    keptByFamily().map(({ modelType, lacks, kinds: own }) => [
      code(modelType),
      ...[...lacks.values()].map((lack) => lack ?? "✓"),
      ...kinds.map(([kind, [, what]]) => (own.has(kind) ? what : "–")),
    ]),
  );
}

function preTokenizers(): string {
  const byTable = new Map<object, string[]>();
  for (const [name, own] of Object.entries(PRE_TOKENIZERS)) byTable.set(own, [...(byTable.get(own) ?? []), code(name)]);
  return table(
    ["`tokenizer.ggml.pre`", "normalizer", "whole pieces before merges", "bos unless the file says"],
    [...byTable].map(([own, names]) => {
      const { normalizer, ignoresMerges, addsBos } = own as (typeof PRE_TOKENIZERS)[string];
      return [names.join(", "), String(normalizer?.["type"] ?? "–"), mark(ignoresMerges), mark(addsBos)];
    }),
  );
}

const refusedTypes = (): string =>
  table(
    ["GGUF type", "number"],
    ggufTypes()
      .filter(([, { format }]) => !format)
      .map(([number, { name }]) => [name.toUpperCase(), String(number)]),
  );

const refusedModels = (): string =>
  table(
    ["`model_type`", "needs"],
    unsupportedTypes.map(([patterns, what]) => [patterns.map(code).join(", "), what]),
  );

export const MODEL_SECTIONS: Readonly<Record<string, () => string>> = {
  formats,
  families: familyTable,
  kept: keptTable,
  "pre-tokenizers": preTokenizers,
  "refused-types": refusedTypes,
  "refused-models": refusedModels,
};
