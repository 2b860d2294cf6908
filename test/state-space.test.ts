/**
 * @file Sequences of models with state space layers give the same numbers, to the bit, however their tokens came: in one step or in
 * several, alone or beside others, in a fork, behind a cut, out of a snapshot.
 */
import { afterAll, beforeAll, expect, it } from "vitest";
import "../src/node/install.ts";
import type { Ops } from "../src/backends/ops.ts";
import type { KvCache } from "../src/cache/kv-cache.ts";
import type { Sequence } from "../src/cache/sequence.ts";
import { restoreSequence, saveSequence } from "../src/cache/snapshot.ts";
import { createBackend } from "../src/engine/create-backend.ts";
import { Runner } from "../src/engine/runner.ts";
import { parseModelConfig } from "../src/models/config.ts";
import { Decoder } from "../src/models/decoder.ts";
import { RandomCheckpoint } from "../src/models/random-weights.ts";
import { parseKvSpec } from "../src/quant/parse-kv-spec.ts";

/** A layer of each kind: Mamba-2, attention, Mamba-2 again, a feed-forward. */
const CONFIG = {
  model_type: "nemotron_h",
  hidden_size: 32,
  hybrid_override_pattern: "M*M-",
  intermediate_size: 40,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  head_dim: 16,
  mamba_num_heads: 4,
  mamba_head_dim: 8,
  n_groups: 2,
  ssm_state_size: 12,
  vocab_size: 64,
  max_position_embeddings: 512,
};
const TOKENS = Array.from({ length: 190 }, (_, i) => (i * 29 + i * i * 7) % 64);

let ops: Ops;
let cache: KvCache;
let runner: Runner;
beforeAll(async () => {
  ops = await createBackend("wasm", { threads: 2 });
  const config = parseModelConfig(CONFIG, "tiny");
  const decoder = await Decoder.load(ops, new RandomCheckpoint(CONFIG, "tiny"), {
    config,
    weights: "f32",
    kv: parseKvSpec("k4v4"),
  });
  cache = decoder.createCache();
  runner = new Runner(decoder, { contextLength: 512 });
});
afterAll(() => ops.dispose());

/** The last logits of the tokens in pieces of this length. */
async function read(sequence: Sequence, tokens: readonly number[], piece = tokens.length): Promise<Float32Array> {
  let logits = new Float32Array(0);
  for (let at = 0; at < tokens.length; at += piece) {
    logits = new Float32Array(await runner.prefill(sequence, tokens.slice(at, at + piece)));
  }
  return logits;
}

let expected: Float32Array;
beforeAll(async () => {
  const sequence = cache.createSequence();
  expected = await read(sequence, TOKENS);
  sequence.release();
});

it("in pieces, one by one, and beside another sequence", async () => {
  for (const piece of [1, 37, 64]) {
    const sequence = cache.createSequence();
    expect(await read(sequence, TOKENS, piece), `pieces of ${piece}`).toEqual(expected);
    sequence.release();
  }
  const [one, other] = [cache.createSequence(), cache.createSequence()];
  await read(one, TOKENS.slice(0, 70));
  await read(other, TOKENS.slice(0, 9));
  const logits = await runner.step([
    { sequence: other, tokens: TOKENS.slice(9, 12), logits: "none" },
    { sequence: one, tokens: TOKENS.slice(70), logits: "last" },
  ]);
  expect(logits).toEqual(expected);
  for (const sequence of [one, other]) sequence.release();
});

it("in a fork, behind a cut to a mark, and out of a snapshot", async () => {
  const sequence = cache.createSequence();
  await read(sequence, TOKENS.slice(0, 150));
  sequence.mark();
  const fork = sequence.fork();
  const identity = { fingerprint: "a", kvSpec: "b" };
  const { sequence: restored } = restoreSequence(cache, await saveSequence(sequence, identity), identity);
  await read(sequence, [1, 2, 3, 4, 5]);
  const kept = sequence.cutTo(150);
  expect(kept).toBe(150);
  for (const own of [sequence, fork, restored]) {
    expect(await read(own, TOKENS.slice(150))).toEqual(expected);
    own.release();
  }
  expect(cache.numBytes, "every page was given back").toBe(0);
});
