/**
 * @file Times decode attention of one layer: one row against a filled cache, and nothing else in the timed region.
 *
 * In a model the other layers' pages pass through the processor's caches before a layer is visited again. To have the same
 * effect, a sample visits many sequences that together are larger than any cache.
 */
import type { BackendName } from "../backends/registry.ts";
import { Sequence } from "../cache/sequence.ts";
import { createBackend } from "../engine/create-backend.ts";
import { yieldNow } from "../engine/yield-now.ts";
import type { ModelConfig } from "../models/config.ts";
import { layerFormats } from "../quant/layer-formats.ts";
import { parseKvSpec } from "../quant/parse-kv-spec.ts";
import { FILL_ROWS, fillStep, plainAttentionLayer, RandomKv } from "./random-kv.ts";
import { interleave, type Summary, summarize } from "./samples.ts";

export interface AttentionBenchOptions {
  readonly config: ModelConfig;
  readonly backend: BackendName | "auto";
  readonly threads: readonly (number | undefined)[];
  readonly depths: readonly number[];
  readonly kv: readonly string[];
  readonly repeats: number;
  readonly signal?: AbortSignal;
  readonly onProgress?: (what: string, done: number, total: number) => void;
}

export interface AttentionRow {
  readonly kv: string;
  readonly threads: number | null;
  readonly depth: number;
  /** Milliseconds for one layer and 1,024 tokens of context. */
  readonly msPer1k: Summary;
  readonly samplesMsPer1k: readonly number[];
  /** Median of this format over the median of f16 in the same run; null when f16 is not in it. */
  readonly ratioToF16: number | null;
  /** Number of sequences a sample visits, and the allocated bytes of one. */
  readonly sequences: number;
  readonly kvBytes: number;
  /** How the backend describes itself under `--explain`. */
  readonly backend: string;
}

/** Bytes of all sequences of a format together: four times the last-level cache of common machines. */
const WORKING_SET_BYTES = 192 * 2 ** 20;
const SEQUENCES = { min: 2, max: 64 };

interface Subject {
  readonly kv: string;
  readonly sequences: readonly Sequence[];
  readonly kvBytes: number;
  /** Attends once in each sequence. */
  run(): Promise<void>;
}

/** Yields a row as soon as its depth is finished. Formats alternate sample by sample; thread counts come one after the other. */
export async function* benchAttention(options: AttentionBenchOptions): AsyncGenerator<AttentionRow> {
  const { config, depths, kv, repeats, signal, onProgress } = options;
  for (const threads of options.threads) {
    const ops = await createBackend(options.backend, {
      formats: layerFormats(kv, [["full"]]),
      ...(threads !== undefined && { threads }),
    });
    try {
      const random = new RandomKv(ops, config);
      const makeSubject = (spec: string, depth: number): Subject => {
        const format = parseKvSpec(spec).forModel([["full"]]);
        const layer = plainAttentionLayer(config, format, 0);
        const cache = random.createCache(format, 1);
        const first = cache.createSequence();
        while (first.length < depth) random.fill(first, [layer], Math.min(FILL_ROWS, depth - first.length));
        const kvBytes = first.numBytes;
        const count = Math.ceil(WORKING_SET_BYTES / kvBytes);
        const sequences = [first];
        while (sequences.length < Math.max(SEQUENCES.min, Math.min(SEQUENCES.max, count)))
          sequences.push(copyOf(first));
        const steps = sequences.map((sequence) => {
          // The K and V of the query's row are reserved and written but never committed, so every sample sees the same cache.
          sequence.reserve(1);
          const step = fillStep(sequence, depth, 1);
          random.append(step, layer);
          return step;
        });
        return {
          kv: spec,
          sequences,
          kvBytes,
          async run() {
            for (const step of steps) {
              ops.beginStep(step, []);
              ops.attend(step, layer, random.query, random.attended);
            }
            await ops.readback(random.attended, 1);
          },
        };
      };
      for (const depth of depths) {
        const subjects: Subject[] = [];
        try {
          for (const spec of kv) {
            signal?.throwIfAborted();
            onProgress?.(`filling ${spec} to ${depth}`, subjects.length, kv.length);
            subjects.push(makeSubject(spec, depth));
            await yieldNow();
          }
          for (const subject of subjects) await subject.run();
          const what = `depth ${depth}, ${threads ?? "all"} threads`;
          const samples = await interleave(
            subjects,
            repeats,
            async (subject) => {
              signal?.throwIfAborted();
              const started = performance.now();
              await subject.run();
              const ms = (performance.now() - started) / subject.sequences.length;
              await yieldNow();
              return (ms * 1024) / depth;
            },
            (done, total) => onProgress?.(what, done, total),
          );
          const f16 = samples[kv.indexOf("f16")];
          for (const [i, subject] of subjects.entries()) {
            const msPer1k = summarize(samples[i]!);
            yield {
              kv: subject.kv,
              threads: threads ?? null,
              depth,
              msPer1k,
              samplesMsPer1k: samples[i]!,
              ratioToF16: f16 ? msPer1k.median / summarize(f16).median : null,
              sequences: subject.sequences.length,
              kvBytes: subject.kvBytes,
              backend: ops.describe(),
            };
          }
        } finally {
          for (const { sequences } of subjects) for (const sequence of sequences) sequence.release();
        }
      }
    } finally {
      await ops.dispose();
    }
  }
}

/** A sequence with the same tokens in pages of its own. Appending the tokens again would take longer than all timed work. */
function copyOf(first: Sequence): Sequence {
  const { cache } = first;
  const copy = new Sequence(cache);
  while (copy.length < first.length) {
    const count = Math.min(FILL_ROWS, first.length - copy.length);
    copy.reserve(count);
    copy.commit(count);
  }
  for (const [layer, { main, residual }] of cache.layers.entries()) {
    const copyPages = (from: Uint32Array, to: Uint32Array, numBytes: number): void => {
      from.forEach((address, index) => {
        if (address && to[index]) cache.pool.storage.copy(address, to[index]!, numBytes);
      });
    };
    copyPages(first.main(layer).entries(), copy.main(layer).entries(), main.numBytes);
    if (residual) copyPages(first.residual(layer).entries(), copy.residual(layer).entries(), residual.layout.numBytes);
  }
  return copy;
}
