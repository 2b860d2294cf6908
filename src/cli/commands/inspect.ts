/** @file `turboquant inspect`: prints a model's config, tensors and KV format, or the header of a saved cache. */
import { open, readFile, stat } from "node:fs/promises";
import type { Command } from "commander";
import { readSnapshotHeader } from "../../cache/snapshot.ts";
import type { KvDescription } from "../../cache/states/kv-description.ts";
import type { RecurrentDescription } from "../../cache/states/recurrent-state.ts";
import type { KvShape } from "../../cache/states/state-shape.ts";
import { isPressed } from "../../cache/states/tiers.ts";
import { allocatedBytes, emptyCache } from "../../eval/allocated-bytes.ts";
import { formatBytes, formatCount, formatRanges } from "../../format-number.ts";
import type { FileSource } from "../../formats/file-source.ts";
import { openCheckpoint } from "../../formats/open-checkpoint.ts";
import { type ModelConfig, parseModelConfig } from "../../models/config.ts";
import { layerKindsOf, layoutOf, sharedStates, stateShapes } from "../../models/layout.ts";
import { isRemote } from "../../node/hub/remote-source.ts";
import { cacheKinds } from "../../plan/cache-kinds.ts";
import { modelOfConfig } from "../../plan/planned-model.ts";
import { isFloat, typeOf } from "../../quant/codecs/registry.ts";
import { storedDim } from "../../quant/head-dim.ts";
import { bitsPerValue, type SideLayout } from "../../quant/page-layout.ts";
import { type KvSpec, parseKvSpec } from "../../quant/parse-kv-spec.ts";
import type { CommandContext } from "../context.ts";
import { plainTable, tableWidth, titledTable } from "../format.ts";
import { headsText } from "../heads-text.ts";
import { kindsTable } from "../kinds-text.ts";
import { namingFile } from "../naming-file.ts";
import { DEFAULT_MODEL, kvFromFlags, type OutputFlags, wholeNumber } from "../options.ts";
import { withMetadata } from "../with-metadata.ts";

interface InspectFlags extends OutputFlags {
  readonly model?: string;
  readonly kv?: string;
  readonly cacheTypeK?: string;
  readonly cacheTypeV?: string;
  readonly ctx?: number;
  readonly tensors?: boolean;
}

export function configure(command: Command, context: CommandContext): void {
  command
    .description(
      "Shows a model's config, tensors and KV cache format, or what a saved cache (.tqkv) holds. Weights are not read.",
    )
    .argument(
      "[ref]",
      `checkpoint (directory, .gguf file, name on the hub, embedded model) or a saved cache (default: ${DEFAULT_MODEL})`,
    )
    .option("-m, --model <ref>", "the same as the argument")
    .option("--kv <spec>", "KV format to lay out")
    .option("--cache-type-k <type>", "-ctk: type of K alone")
    .option("--cache-type-v <type>", "-ctv: type of V alone")
    .option(
      "-c, --ctx <tokens>",
      "length to count the cache's bytes for (default: the model's context)",
      wholeNumber(1),
    )
    .option("--tensors", "list every tensor")
    .option("--json", "print one JSON object and nothing else on stdout")
    .option("--quiet", "no progress on stderr")
    .addHelpText(
      "after",
      `
Examples:
  $ turboquant inspect
  $ turboquant inspect ./Qwen3-0.6B --kv k4v4,layers=0-1:k8v8 --ctx 32768
  $ turboquant inspect conversation.tqkv --json`,
    )
    .action((ref: string | undefined, flags: InspectFlags) => run(ref ?? flags.model ?? DEFAULT_MODEL, flags, context));
}

async function run(ref: string, flags: InspectFlags, context: CommandContext): Promise<void> {
  const { io } = context;
  const isFile = (await stat(ref).catch(() => undefined))?.isFile();
  const report =
    isFile && (await looksLikeSnapshot(ref)) ? await inspectSnapshot(ref) : await inspectRef(ref, flags, context);
  io.stdout.write(flags.json ? `${JSON.stringify(report.json)}\n` : report.text);
}

interface Report {
  readonly json: object;
  readonly text: string;
}

/** Decides by name or by the first bytes, so that a damaged snapshot still gets a snapshot's error message. */
async function looksLikeSnapshot(path: string): Promise<boolean> {
  if (path.endsWith(".tqkv")) return true;
  const file = await open(path);
  try {
    const { buffer, bytesRead } = await file.read(new Uint8Array(4), 0, 4, 0);
    return bytesRead === 4 && new TextDecoder().decode(buffer) === "TQKV";
  } finally {
    await file.close();
  }
}

async function inspectSnapshot(path: string): Promise<Report> {
  const bytes = await readFile(path);
  const { fingerprint, kvSpec, length, numTokens, layers } = namingFile(path, () => readSnapshotHeader(bytes));
  const growing = layers.filter(({ kind }) => kind === undefined);
  const kept = growing[0] as unknown as KvDescription | undefined;
  const others = layers.filter(({ kind }) => kind === "recurrent") as unknown as RecurrentDescription[];
  const fixedBytes = others.reduce((sum, { numBytes }) => sum + numBytes, 0);
  const fixed = others.length > 0 ? [`${others.length} of fixed size, ${formatBytes(fixedBytes)}`] : [];
  const json = { file: path, bytes: bytes.length, fingerprint, kv: kvSpec, length, tokens: numTokens, layers };
  const rows = [
    ["file", path],
    ["bytes", formatCount(bytes.length)],
    ["model fingerprint", fingerprint],
    ["kv", kvSpec],
    ["tokens in the cache", formatCount(length)],
    ["tokens said", formatCount(numTokens)],
    ["states", [...(kept ? [`${growing.length} of keys and values, ${headsText(kept)}`] : []), ...fixed].join("; ")],
  ];
  return { json, text: plainTable(rows, ["left", "left"]) };
}

async function inspectRef(ref: string, flags: InspectFlags, context: CommandContext): Promise<Report> {
  return withMetadata(ref, flags, context, (source) => inspectModel(source, flags, tableWidth(context.io.stdout)));
}

/** What is known of a model from its config and headers. width: characters of a line, for tables */
export async function inspectModel(source: FileSource, flags: InspectFlags, width: number): Promise<Report> {
  const asked = parseKvSpec(kvFromFlags(flags));
  const checkpoint = await openCheckpoint(source);
  const config = parseModelConfig(await checkpoint.config(), checkpoint.configFile);
  const spec = asked.forModel(layerKindsOf(layoutOf(config)));
  const tensors = [...(await checkpoint.tensors()).values()].map(({ name, dtype, shape, numBytes, file }) => ({
    name,
    dtype,
    shape,
    numBytes,
    file,
  }));
  const model = modelFacts(checkpoint.modelName, config, tensors);
  const ctx = flags.ctx ?? config.maxPositionEmbeddings;
  const cached = stateShapes(layoutOf(config)).flatMap(({ shape }) => (shape.kind === "kv" ? shape : []))[0];
  const kv = kvFacts(config, spec, ctx);
  // Samples from all over the weights, each a request of its own where they are not here.
  const fingerprint = isRemote(source) ? null : await checkpoint.fingerprint();
  return {
    json: { model: { ...model, fingerprint }, kv, ...(flags.tensors && { tensors }) },
    text: modelText(model, fingerprint, cached) + kvText(kv, width) + (flags.tensors ? tensorText(tensors) : ""),
  };
}

interface TensorFacts {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly numBytes: number;
  readonly file: string;
}

function modelFacts(name: string, config: ModelConfig, tensors: readonly TensorFacts[]) {
  const parameters = tensors.reduce((sum, { shape }) => sum + shape.reduce((a, b) => a * b, 1), 0);
  return {
    name,
    modelType: config.modelType,
    numLayers: config.numLayers,
    hiddenSize: config.hiddenSize,
    intermediateSize: config.intermediateSize,
    numHeads: config.numHeads,
    numKvHeads: config.numKvHeads,
    headDim: config.headDim,
    vocabSize: config.vocabSize,
    maxPositionEmbeddings: config.maxPositionEmbeddings,
    slidingWindow: Array.from({ length: config.numLayers }, (_, layer) => config.slidingWindow(layer)),
    qkNorm: config.traits.qkNorm !== "none",
    attentionBias: config.traits.biases.qkv,
    tieWordEmbeddings: config.tieWordEmbeddings,
    rope: config.rope,
    eosTokenIds: config.eosTokenIds,
    parameters,
    tensors: tensors.length,
    dtypes: [...new Set(tensors.map(({ dtype }) => dtype))],
    weightBytes: tensors.reduce((sum, { numBytes }) => sum + numBytes, 0),
  };
}

/** Bytes and bits, as the allocator and the page layout have them. */
function kvFacts(config: ModelConfig, spec: KvSpec, ctx: number) {
  const cache = emptyCache(config, spec);
  const layout = layoutOf(config);
  const kept = stateShapes(layout);
  const modelLayers = kept.filter(({ shape }) => shape.kind === "kv").map(({ layer }) => layer);
  const states = kept.flatMap(({ shape, layer }) =>
    shape.kind === "recurrent" ? { layer, kind: shape.kind, bytes: shape.numBytes } : [],
  );
  const layers = cache.layers.map(({ format, main, residual, tiers, tokensPerRow }, index) => ({
    layer: modelLayers[index]!,
    k: typeOf(format.k),
    v: typeOf(format.v),
    // Of latent attention, whose rows of K are those of V; the parts beside them are counted in all bytes.
    ...(main.rotaryKey && { rotary: main.rotaryKey.dim > 0 ? typeOf(main.rotaryKey.side) : null }),
    bytesPerToken: main.numBytes / main.pageTokens / tokensPerRow,
    bitsPerValue: bitsPerValue(main),
    pageTokens: main.pageTokens,
    pageBytes: main.numBytes,
    planesK: planesOf(main.k),
    planesV: planesOf(main.v),
    sinks: residual ? format.sinks : 0,
    window: residual ? format.window : 0,
    exactBits: residual ? (format.windowBits ?? 16) : 0,
    exactPageTokens: residual?.layout.pageTokens ?? 0,
    exactPageBytes: residual?.layout.numBytes ?? 0,
    ...(tiers.length > 0 && {
      tiers: tiers.map(({ layout, after }) => ({
        after: isPressed({ after }) ? null : after,
        k: typeOf(layout.k.side),
        v: typeOf(layout.v.side),
        bytesPerToken: layout.numBytes / layout.pageTokens,
        bitsPerValue: bitsPerValue(layout),
        pageBytes: layout.numBytes,
        planesK: planesOf(layout.k),
        planesV: planesOf(layout.v),
      })),
    }),
  }));
  const bytes = allocatedBytes(config, spec, ctx);
  const bytesF16 = allocatedBytes(config, parseKvSpec("f16"), ctx);
  return {
    spec: spec.text,
    calibration: spec.calibration,
    ctx,
    bytes,
    bytesF16,
    ratio: bytesF16 / bytes,
    layers,
    states,
    shared: sharedStates(layout),
    kinds: cacheKinds(modelOfConfig(config, config.modelType), spec, ctx),
  };
}

/** Widths of the bit planes of a row's codes, widest first; empty for floats. */
function planesOf(side: SideLayout): readonly number[] {
  return isFloat(side.side) ? [] : side.planes.filter(({ name }) => name === "codes").map(({ width }) => width);
}

/** cached: of its first layer with keys and values */
function modelText(
  model: ReturnType<typeof modelFacts>,
  fingerprint: string | null,
  cached: KvShape | undefined,
): string {
  const windows = [...new Set(model.slidingWindow)].filter((window) => window > 0);
  const features = [
    ...(model.qkNorm ? ["QK-norm"] : []),
    ...(model.attentionBias ? ["biases of q, k, v"] : []),
    ...(model.tieWordEmbeddings ? ["tied head"] : []),
    ...(windows.length > 0 ? [`sliding window ${windows.join(", ")}`] : []),
  ];
  const feedForward = model.intermediateSize > 0 ? `, feed-forward ${model.intermediateSize}` : "";
  const hasZeros = cached && cached.headDim !== model.headDim && cached.headDim === storedDim(model.headDim);
  const attention = cached
    ? `${model.numHeads} heads, ${headsText(cached)}${hasZeros ? `, zeros behind ${model.headDim}` : ""}`
    : "none";
  return plainTable(
    [
      ["model", `${model.name} (${model.modelType})`],
      ["layers", `${model.numLayers} × ${model.hiddenSize}${feedForward}`],
      ["attention", attention],
      ["features", features.join(", ") || "none"],
      ["vocabulary", formatCount(model.vocabSize)],
      ["context", `${formatCount(model.maxPositionEmbeddings)} tokens`],
      [
        "weights",
        `${formatCount(model.parameters)} parameters in ${model.tensors} tensors, ${model.dtypes.join(" and ")}, ${formatBytes(model.weightBytes)}`,
      ],
      ["fingerprint", fingerprint ?? "none: the weights are not on this machine"],
    ],
    ["left", "left"],
  );
}

/** Cells of the codes of a layer, or of one of its coarser tiers. rotary: type of the parts beside latent rows, null where these have none */
function codesCells(
  codes: Omit<NonNullable<ReturnType<typeof kvFacts>["layers"][number]["tiers"]>[number], "after">,
  pageTokens: number,
  rotary?: string | null,
): string[] {
  return [
    codes.k,
    rotary === undefined ? codes.v : rotary === null ? "as K" : `as K, rotary ${rotary}`,
    codes.planesK.join("+") || "–",
    codes.planesV.join("+") || "–",
    codes.bitsPerValue.toFixed(3),
    formatCount(codes.bytesPerToken),
    `${pageTokens} tokens, ${formatCount(codes.pageBytes)} B`,
  ];
}

function kvText(kv: ReturnType<typeof kvFacts>, width: number): string {
  const rows: string[][] = [
    ["layers", "K", "V", "planes K", "planes V", "bits/value", "bytes/token", "page", "sinks + window"],
  ];
  // Layers with equal formats share one line.
  let first = 0;
  const line = ({ layer: _, ...facts }: (typeof kv.layers)[number]): string => JSON.stringify(facts);
  for (const [i, layer] of kv.layers.entries()) {
    const next = kv.layers[i + 1];
    if (next && line(next) === line(layer)) continue;
    rows.push([
      formatRanges(kv.layers.slice(first, i + 1).map((own) => own.layer)),
      ...codesCells(layer, layer.pageTokens, layer.rotary),
      layer.exactPageBytes
        ? `${layer.sinks} + ${layer.window} in ${layer.exactBits} bit, pages of ${layer.exactPageTokens} tokens, ${formatCount(layer.exactPageBytes)} B`
        : "none",
    ]);
    for (const tier of layer.tiers ?? []) {
      const when = tier.after === null ? "when memory is short" : `${formatCount(tier.after)} tokens on`;
      rows.push([`  ${when}`, ...codesCells(tier, layer.pageTokens), ""]);
    }
    first = i + 1;
  }
  const title = `\nKV cache ${kv.spec} (calibration ${kv.calibration})\n`;
  const kinds = kv.kinds.length > 1 ? `\n${kindsTable(kv.kinds, kv.ctx, width)}` : "";
  const total = `\n${formatCount(kv.ctx)} tokens: ${formatBytes(kv.bytes)} against ${formatBytes(kv.bytesF16)} in f16, ${kv.ratio.toFixed(2)}x smaller\n`;
  const aligns = ["left", "left", "left", "left", "left", "right", "right", "left", "left"] as const;
  return title + titledTable(rows, aligns, width) + kinds + total;
}

function tensorText(tensors: readonly TensorFacts[]): string {
  const rows = tensors.map(({ name, dtype, shape, numBytes }) => [
    name,
    dtype,
    `[${shape.join(", ")}]`,
    formatCount(numBytes),
  ]);
  return `\n${plainTable([["tensor", "type", "shape", "bytes"], ...rows], ["left", "left", "left", "right"])}`;
}
