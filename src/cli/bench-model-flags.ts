/** @file Opens the model that a benchmark's flags name, and formats a throughput row as JSON. */
import { type BenchModel, loadBenchModel, makeShapeModel } from "../bench/bench-model.ts";
import type { ThroughputRow } from "../bench/throughput.ts";
import type { OnProgress } from "../platform.ts";
import { typeOf } from "../quant/codecs/registry.ts";
import { parseKvSpec } from "../quant/parse-kv-spec.ts";
import type { CommandContext } from "./context.ts";
import { type BackendFlags, DEFAULT_MODEL } from "./options.ts";

export interface BenchModelFlags extends Omit<BackendFlags, "threads"> {
  readonly model?: string;
  readonly shape?: string;
  readonly layers?: number;
}

/** Opens the model that `--model` or `--shape` names. */
export function openBenchModel(
  flags: BenchModelFlags,
  kv: readonly string[],
  threads: number | undefined,
  context: CommandContext,
  onProgress: OnProgress,
): Promise<BenchModel> {
  const options = {
    kv,
    backend: flags.backend,
    weights: flags.weights,
    signal: context.signal,
    ...(threads !== undefined && { threads }),
    ...(flags.layers !== undefined && { layers: flags.layers }),
    onProgress,
  };
  return flags.shape === undefined
    ? loadBenchModel(flags.model ?? DEFAULT_MODEL, options)
    : makeShapeModel(flags.shape, options);
}

/** Field names are llama-bench's where it has the field. */
export function throughputJson(row: ThroughputRow, model: BenchModel, threads: number | undefined, weights: string) {
  const format = parseKvSpec(row.kv).forLayer(0);
  const ms = row.samplesMs;
  const mean = ms.reduce((sum, value) => sum + value, 0) / ms.length;
  const tokens = row.nPrompt + row.nGen;
  return {
    backends: model.ops.name,
    backend: model.ops.describe(),
    model_type: model.name,
    model_size: model.weightBytes,
    n_layers: model.config.numLayers,
    weights,
    n_threads: threads ?? null,
    kv: row.kv,
    type_k: typeOf(format.k),
    type_v: typeOf(format.v),
    test: row.test,
    n_prompt: row.nPrompt,
    n_gen: row.nGen,
    n_depth: row.depth,
    avg_ns: Math.round(mean * 1e6),
    stddev_ns: Math.round(
      Math.sqrt(ms.reduce((sum, v) => sum + (v - mean) ** 2, 0) / Math.max(1, ms.length - 1)) * 1e6,
    ),
    avg_ts: row.tokPerSec.mean,
    stddev_ts: row.tokPerSec.sd,
    median_ts: row.tokPerSec.median,
    max_ts: row.tokPerSec.max,
    spread: row.tokPerSec.spread,
    samples_ns: ms.map((v) => Math.round(v * 1e6)),
    samples_ts: ms.map((v) => (tokens * 1000) / v),
    kv_bytes: row.kvBytes,
  };
}
