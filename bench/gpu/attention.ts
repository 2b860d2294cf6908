/**
 * @file Time of decode attention with its merge, 32 query heads on 8 KV heads of 128, by the GPU's clock. Layers with pages of
 * their own take turns, together larger than any cache.
 */
import type { DecodeTuning } from "../../src/backends/webgpu/attention/decode-attention.ts";
import { createWebGpuBackend } from "../../src/backends/webgpu/backend.ts";
import { timePasses } from "../../src/backends/webgpu/queue/pass-times.ts";
import { FILL_ROWS, fillStep, plainAttentionLayer, RandomKv } from "../../src/bench/random-kv.ts";
import { summarize } from "../../src/bench/samples.ts";
import { shapeConfig } from "../../src/models/shapes.ts";
import { parseKvSpec } from "../../src/quant/parse-kv-spec.ts";

const HEADS = { numHeads: 32, numKvHeads: 8, headDim: 128 };
const WORKING_SET_BYTES = 256 * 2 ** 20;
const REPEATS = 9;
/** Drivers go on optimising a kernel while it runs: one with eight query heads on a KV head takes five times as long for its first two seconds. */
const WARM_UP_MS = 5000;
/** Attention takes turns at least so often in a timed pass. */
const TURNS = 24;

/** numHeads: query heads on the 8 KV heads */
export async function measureOne(
  kv: string,
  context: number,
  tuning: DecodeTuning,
  numHeads = HEADS.numHeads,
): Promise<object> {
  const ops = await createWebGpuBackend();
  ops.plans.trial = { decode: tuning };
  try {
    const config = { ...shapeConfig("qwen3-0.6b"), ...HEADS, numHeads };
    const format = parseKvSpec(kv);
    const random = new RandomKv(ops, config);
    const layerBytes = (cacheOf(random, kv, 1).layers[0]!.main.numBytes * context) / 64;
    const layers = Array.from({ length: Math.max(2, Math.ceil(WORKING_SET_BYTES / layerBytes)) }, (_, index) =>
      plainAttentionLayer(config, format, index),
    );
    const sequence = cacheOf(random, kv, layers.length).createSequence();
    while (sequence.length < context) random.fill(sequence, layers, Math.min(FILL_ROWS, context - sequence.length));
    sequence.reserve(1);
    const step = fillStep(sequence, context, 1);
    for (const layer of layers) random.append(step, layer);
    await ops.readback(random.query, 1);
    const rounds = Math.ceil(TURNS / layers.length);
    const readTime = timePasses(ops.context.device);
    const samples: number[] = [];
    const time = async (): Promise<number> => {
      for (let round = 0; round < rounds; round++) {
        for (const layer of layers) ops.attend(step, layer, random.query, random.attended);
      }
      ops.commands.flush();
      return (await readTime()) / 1000 / rounds / layers.length;
    };
    for (const started = performance.now(); performance.now() - started < WARM_UP_MS; ) await time();
    for (let i = 0; i < REPEATS; i++) samples.push(await time());
    const { median, min, max } = summarize(samples);
    const bytes = sequence.numBytes / layers.length;
    return {
      kind: "attention",
      kv,
      context,
      queryHeads: numHeads,
      kvHeads: HEADS.numKvHeads,
      headDim: HEADS.headDim,
      medianUs: median,
      minUs: min,
      maxUs: max,
      layers: layers.length,
      gbPerSec: bytes / median / 1000,
      ...(Object.keys(tuning).length > 0 && { tuning }),
    };
  } finally {
    await ops.dispose();
  }
}

const cacheOf = (random: RandomKv, kv: string, layers: number) => random.createCache(parseKvSpec(kv), layers);

export async function* measureAttention(
  contexts: readonly number[],
  kv: readonly string[],
  tunings: readonly DecodeTuning[],
): AsyncGenerator<object> {
  for (const context of contexts) {
    for (const spec of kv) for (const tuning of tunings) yield await measureOne(spec, context, tuning);
  }
}

/** Other numbers of query heads, whole and in parts. */
export async function* measureHeads(contexts: readonly number[], kv: readonly string[]): AsyncGenerator<object> {
  const tunings: DecodeTuning[] = [
    {},
    { heads: 8 },
    ...([4, 2, 1] as const).map((own) => ({ heads: 8, own })),
    ...([4, 2, 1] as const).map((own) => ({ heads: 4, own })),
    ...([4, 2, 1] as const).map((own) => ({ heads: 4, own, targetGroups: 264 })),
  ];
  for (const context of contexts) {
    for (const spec of kv) {
      for (const numHeads of [16, 32]) yield await measureOne(spec, context, {}, numHeads);
      for (const tuning of tunings) yield await measureOne(spec, context, tuning, 64);
    }
  }
}

/** Settings of the kernel of codes with eight query heads on a KV head, whose lanes keep more than fits many registers. */
export async function* sweepHeads(contexts: readonly number[], kv: readonly string[]): AsyncGenerator<object> {
  const tunings: DecodeTuning[] = [
    {},
    ...([1, 2, 4] as const).flatMap((own) => ([64, 128, 256] as const).map((threads) => ({ own, threads, heads: 8 }))),
    ...([1, 2] as const).flatMap((own) => [4, 16].map((unroll) => ({ own, unroll, heads: 8 }))),
    ...([1, 2] as const).flatMap((own) => [264, 1056].map((targetGroups) => ({ own, targetGroups, heads: 8 }))),
    ...([1, 2, 4] as const).map((own) => ({ own, heads: 4 })),
    {},
  ];
  for (const context of contexts) {
    for (const spec of kv) {
      yield await measureOne(spec, context, {}, 32);
      for (const tuning of tunings) yield await measureOne(spec, context, tuning, 64);
    }
  }
}

/** The same with other settings of the kernel. */
export async function* sweepAttention(contexts: readonly number[], kv: readonly string[]): AsyncGenerator<object> {
  const tunings: DecodeTuning[] = [
    ...[264, 396, 528, 660, 1056].map((targetGroups) => ({ targetGroups })),
    ...([1, 2, 4] as const).map((own) => ({ own })),
    ...([2, 4] as const).map((lanes) => ({ lanes })),
    ...[2, 4, 16].map((copies) => ({ copies })),
    ...[4, 16].map((unroll) => ({ unroll })),
    ...([64, 256] as const).flatMap((threads) => [264, 528, 1056].map((targetGroups) => ({ threads, targetGroups }))),
  ];
  for (const context of contexts) {
    for (const spec of kv) for (const tuning of tunings) yield await measureOne(spec, context, tuning);
  }
}
