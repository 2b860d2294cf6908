/**
 * @file Time of decode attention of several sequences together, with its merge, by the GPU's clock: the heads of Qwen3-0.6B, pages of
 * each sequence of its own. Layers take turns, together larger than any cache.
 */
import type { DecodeTuning } from "../../src/backends/webgpu/attention/decode-attention.ts";
import { createWebGpuBackend } from "../../src/backends/webgpu/backend.ts";
import { timePasses } from "../../src/backends/webgpu/queue/pass-times.ts";
import { FILL_ROWS, plainAttentionLayer, RandomKv } from "../../src/bench/random-kv.ts";
import { summarize } from "../../src/bench/samples.ts";
import { mainGroup, residualGroup } from "../../src/cache/states/kv-state.ts";
import { shapeConfig } from "../../src/models/shapes.ts";
import { parseKvSpec } from "../../src/quant/parse-kv-spec.ts";

const SHAPE = "qwen3-0.6b";
const WORKING_SET_BYTES = 256 * 2 ** 20;
const REPEATS = 9;
/** An idle device clocks down, and drivers go on optimising a kernel while it runs. */
const WARM_UP_MS = 300;
/** Attention takes turns at least so often in a timed pass. */
const TURNS = 12;

/** rowCounts: sequences decoded together · tunings: settings of the kernels, which take turns over the same pages */
export async function* measureRows(
  kv: string,
  context: number,
  rowCounts: readonly number[],
  tunings: readonly DecodeTuning[] = [{}],
): AsyncGenerator<object> {
  const ops = await createWebGpuBackend();
  try {
    const config = shapeConfig(SHAPE);
    const format = parseKvSpec(kv);
    const random = new RandomKv(ops, config);
    const { main, residual } = plainAttentionLayer(config, format, 0).cache;
    const pages = { main: Math.ceil((context + 1) / main.pageTokens), residual: residual?.mostPages(context + 1) ?? 0 };
    const rowBytes = pages.main * main.numBytes + pages.residual * (residual?.layout.numBytes ?? 0);
    const least = Math.min(...rowCounts) * rowBytes;
    const layers = Array.from({ length: Math.max(2, Math.ceil(WORKING_SET_BYTES / least)) }, (_, index) =>
      plainAttentionLayer(config, format, index),
    );
    const cache = random.createCache(format, layers.length);
    const sequences = Array.from({ length: Math.max(...rowCounts) }, () => cache.createSequence());
    for (const { index } of layers) {
      ops.pages.makeRoom(main.numBytes, mainGroup(index), sequences.length * pages.main);
      if (residual) {
        ops.pages.makeRoom(residual.layout.numBytes, residualGroup(index), sequences.length * (pages.residual + 16));
      }
    }
    for (const sequence of sequences) {
      while (sequence.length < context) random.fill(sequence, layers, Math.min(FILL_ROWS, context - sequence.length));
      sequence.reserve(1);
    }
    const readTime = timePasses(ops.context.device);
    for (const rows of rowCounts) {
      const step = {
        tokens: Int32Array.from({ length: rows }, (_, row) => row),
        positions: new Int32Array(rows).fill(context),
        spans: sequences.slice(0, rows).map((sequence, row) => ({ sequence, start: context, count: 1, row })),
        logitRows: new Int32Array(0),
      };
      for (const layer of layers) random.append(step, layer);
      for (const each of tunings) {
        ops.plans.trial = { decode: each };
        const rounds = Math.ceil(TURNS / layers.length);
        const time = async (): Promise<number> => {
          for (let round = 0; round < rounds; round++) {
            for (const layer of layers) ops.attend(step, layer, random.query, random.attended);
          }
          ops.commands.flush();
          return (await readTime()) / 1000 / rounds / layers.length;
        };
        const row = { kind: "attention-rows", kv, context, rows, shape: SHAPE };
        try {
          await time();
          for (const started = performance.now(); performance.now() - started < WARM_UP_MS; ) await time();
          const samples: number[] = [];
          for (let i = 0; i < REPEATS; i++) samples.push(await time());
          ops.context.check();
          const { median, min, max } = summarize(samples);
          yield {
            ...row,
            medianUs: median,
            minUs: min,
            maxUs: max,
            layers: layers.length,
            gbPerSec: Math.round((rows * rowBytes) / median / 1000),
            repeats: REPEATS,
            ...(Object.keys(each).length > 0 && { tuning: each }),
          };
        } catch (error) {
          yield { ...row, tuning: each, error: String((error as Error).message ?? error) };
        }
      }
    }
  } finally {
    await ops.dispose();
  }
}
