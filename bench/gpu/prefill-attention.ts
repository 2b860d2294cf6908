/**
 * @file Time of the attention of a chunk of a prompt with its merge, by the GPU's clock: `rows` tokens over a history, in the
 * shapes of Qwen3-0.6B and 8B. Layers with pages of their own take turns.
 */
import { createWebGpuBackend, type WebGpuBackendOptions } from "../../src/backends/webgpu/backend.ts";
import { timePasses } from "../../src/backends/webgpu/queue/pass-times.ts";
import { FILL_ROWS, fillStep, plainAttentionLayer, RandomKv } from "../../src/bench/random-kv.ts";
import { summarize } from "../../src/bench/samples.ts";
import { shapeConfig } from "../../src/models/shapes.ts";
import { parseKvSpec } from "../../src/quant/parse-kv-spec.ts";

const HEADS = { "qwen3-0.6b": 16, "qwen3-8b": 32 } as const;
const REPEATS = 9;
/** An idle device clocks down within a second; drivers go on optimising a kernel while it runs. */
const WARM_UP_MS = 400;
const LAYERS = 2;
/** A pass takes about so long. */
const PASS_US = 4000;

interface PrefillTiming {
  readonly shape: keyof typeof HEADS;
  readonly kv: string;
  readonly rows: number;
  readonly history: number;
  readonly without?: WebGpuBackendOptions["without"];
}

async function measureOne({ shape, kv, rows, history, without = [] }: PrefillTiming): Promise<object> {
  const ops = await createWebGpuBackend({ without });
  try {
    const config = { ...shapeConfig("qwen3-0.6b"), numHeads: HEADS[shape], numKvHeads: 8, headDim: 128 };
    const format = parseKvSpec(kv);
    const random = new RandomKv(ops, config, rows);
    const layers = Array.from({ length: LAYERS }, (_, index) => plainAttentionLayer(config, format, index));
    const sequence = random.createCache(format, LAYERS).createSequence();
    while (sequence.length < history) random.fill(sequence, layers, Math.min(FILL_ROWS, history - sequence.length));
    sequence.reserve(rows);
    const step = fillStep(sequence, history, rows);
    for (const layer of layers) random.append(step, layer);
    await ops.readback(random.query, 1);
    const readTime = timePasses(ops.context.device);
    const time = async (turns: number): Promise<number> => {
      for (let i = 0; i < turns; i++) ops.attend(step, layers[i % LAYERS]!, random.query, random.attended);
      ops.commands.flush();
      return (await readTime()) / 1000 / turns;
    };
    await time(2);
    const turns = Math.max(2, Math.min(64, Math.round(PASS_US / (await time(2)))));
    const samples: number[] = [];
    for (const started = performance.now(); performance.now() - started < WARM_UP_MS; ) await time(turns);
    for (let i = 0; i < REPEATS; i++) samples.push(await time(turns));
    const { median, min, max } = summarize(samples);
    const flops = 4 * config.numHeads * config.headDim * rows * (history + (rows + 1) / 2);
    return {
      kind: "prefill-attention",
      model: shape,
      kv,
      rows,
      history,
      kernel: ops.commands.kernelLabels.find((label) => label.startsWith("attention of spans")),
      medianUs: median,
      minUs: min,
      maxUs: max,
      tflops: Number((flops / median / 1e6).toFixed(1)),
    };
  } finally {
    await ops.dispose();
  }
}

async function* measure(timings: readonly PrefillTiming[]): AsyncGenerator<object> {
  for (const timing of timings) {
    try {
      yield await measureOne(timing);
    } catch (error) {
      yield { kind: "prefill-attention", ...timing, error: String((error as Error).message ?? error) };
    }
  }
}

const SPANS = [
  { rows: 512, history: 0 },
  { rows: 1024, history: 0 },
  { rows: 2048, history: 0 },
  { rows: 512, history: 4096 },
  { rows: 1024, history: 4096 },
  { rows: 2048, history: 4096 },
  { rows: 1024, history: 32_768 },
] as const;

/** The formats that matter most in both shapes, or those that are asked for. */
export function measurePrefillAttention(asked?: readonly string[]): AsyncGenerator<object> {
  const kinds = [
    ...(asked ?? ["f16", "k4v4", "k4v4,window=16bit", "k8v4"]).map((kv) => ({ shape: "qwen3-0.6b", kv }) as const),
    ...(asked ?? ["f16", "k4v4"]).map((kv) => ({ shape: "qwen3-8b", kv }) as const),
  ];
  return measure(kinds.flatMap((kind) => SPANS.map((span) => ({ ...kind, ...span }))));
}

/** The f32 kernel, at a few points: it takes long. */
export function measurePrefillFloats(): AsyncGenerator<object> {
  const spans = [SPANS[1], SPANS[4], SPANS[6]];
  const without = ["matrices"] as const;
  return measure(
    (["qwen3-0.6b", "qwen3-8b"] as const).flatMap((shape) =>
      ["f16", "k4v4"].flatMap((kv) => spans.map((span) => ({ shape, kv, ...span, without }))),
    ),
  );
}
