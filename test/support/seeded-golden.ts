/** @file A small model of test/fixtures/architectures on a backend: its logits against Transformers, and sequences that are forked, cut, restored and run together. */
import { expect } from "vitest";
import type { Ops } from "../../src/backends/ops.ts";
import { restoreSequence, saveSequence } from "../../src/cache/snapshot.ts";
import { Runner, type Work } from "../../src/engine/runner.ts";
import { parseModelConfig } from "../../src/models/config.ts";
import { Decoder } from "../../src/models/decoder.ts";
import { parseKvSpec } from "../../src/quant/parse-kv-spec.ts";
import { type SeededModel, seededCheckpoint } from "./seeded-checkpoint.ts";

/** A prompt in two pieces, longer than the windows of these models, and what follows in copies of the sequence. */
const [PROMPT, LAST, NEXT] = [21, 10, 3];
const IDENTITY = { fingerprint: "seeded", kvSpec: "f32" };

/**
 * Reads a prompt in two pieces. A fork, a sequence that was restored and the one that they are of read on in one step, beside one that begins;
 * the last of them is cut back and reads the same again token by token, and all the tokens that are left.
 */
export async function expectSeeded(ops: Ops, { config: json, ...model }: SeededModel): Promise<void> {
  const config = parseModelConfig(json, "config.json");
  const { vocabSize } = config;
  const decoder = await Decoder.load(ops, seededCheckpoint({ config: json, ...model }), {
    ...{ config, kv: parseKvSpec("f32"), weights: "auto" },
  });
  const runner = new Runner(decoder, { contextLength: 64 });
  const cache = decoder.createCache();
  const expectRow = (own: Float32Array, row: number): void => {
    const l2 = model.logit_l2[row]!;
    const length = Math.abs(Math.sqrt(own.reduce((sum, value) => sum + value * value, 0)) / l2 - 1);
    if (!(length < 2e-3)) expect(length, `length of logits at ${row}`).toBeLessThan(2e-3);
    for (const [n, token] of model.probe.entries()) {
      const difference = Math.abs(own[token]! - model.probe_logits[row]![n]!);
      const bound = 5e-3 * Math.max(1, l2 / Math.sqrt(vocabSize));
      if (!(difference < bound)) expect(difference, `logit of ${token} at ${row}`).toBeLessThan(bound);
    }
  };
  /** Runs the next tokens of each sequence and compares all rows. */
  const step = async (...spans: readonly (readonly [sequence: Work["sequence"], count: number])[]): Promise<void> => {
    const starts = spans.map(([sequence]) => sequence.length);
    const logits = await runner.step(
      spans.map(([sequence, count], i) => ({
        ...{ sequence, tokens: model.ids.slice(starts[i], starts[i]! + count), logits: "all" },
      })),
    );
    let at = 0;
    for (const [i, [, count]] of spans.entries())
      for (let row = 0; row < count; row++, at++)
        expectRow(logits.subarray(at * vocabSize, (at + 1) * vocabSize), starts[i]! + row);
  };
  const sequence = cache.createSequence();
  await step([sequence, PROMPT]);
  await step([sequence, LAST]);
  sequence.mark();
  const fork = sequence.fork();
  const { sequence: restored } = restoreSequence(cache, await saveSequence(sequence, IDENTITY), IDENTITY);
  const other = cache.createSequence();
  await step([fork, NEXT], [other, NEXT + 2], [restored, NEXT], [sequence, NEXT]);
  for (const own of [fork, other, restored]) own.release();
  // States of fixed size are known where they were marked, keys and values everywhere.
  expect(sequence.cutTo(PROMPT + LAST + 1)).toBeGreaterThanOrEqual(PROMPT + LAST);
  while (sequence.length < model.ids.length) await step([sequence, 1]);
  sequence.release();
  expect(cache.numBytes, "every page was given back").toBe(0);
  decoder.dispose();
}
