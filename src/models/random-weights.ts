/** @file Random weights of a given shape, so that speed can be measured without a download. */
import type { WeightPart } from "../backends/ops.ts";
import { TurboQuantError } from "../errors.ts";
import { CounterRng } from "../math/rng.ts";
import type { ModelConfig } from "./config.ts";
import type { WeightSource } from "./decoder.ts";

/** One cycle of normal values that every matrix repeats: a prime length, so that rows differ from each other. */
const CYCLE = 1_048_573;

/** N(0, 0.02) in bf16; norms are 1, biases 0. */
export class RandomWeights implements WeightSource {
  readonly #config: ModelConfig;
  readonly #cycle: Uint16Array;

  constructor(config: ModelConfig, seed = 1) {
    this.#config = config;
    this.#cycle = normalCycle(seed);
  }

  async part(name: string): Promise<WeightPart> {
    const { rows, cols } = this.#shape(name);
    const words = new Uint16Array(rows * cols);
    if (name.endsWith("norm.weight")) words.fill(0x3f80);
    else if (!name.endsWith(".bias")) {
      for (let at = 0; at < words.length; at += CYCLE) {
        words.set(this.#cycle.subarray(0, Math.min(CYCLE, words.length - at)), at);
      }
    }
    return { dtype: "bf16", rows, cols, data: new Uint8Array(words.buffer) };
  }

  #shape(name: string): { rows: number; cols: number } {
    const c = this.#config;
    const [q, kv] = [c.numHeads * c.headDim, c.numKvHeads * c.headDim];
    const shapes: Record<string, [number, number]> = {
      "embed_tokens.weight": [c.vocabSize, c.hiddenSize],
      "lm_head.weight": [c.vocabSize, c.hiddenSize],
      "q_proj.weight": [q, c.hiddenSize],
      "k_proj.weight": [kv, c.hiddenSize],
      "v_proj.weight": [kv, c.hiddenSize],
      "o_proj.weight": [c.hiddenSize, q],
      "q_proj.bias": [1, q],
      "k_proj.bias": [1, kv],
      "v_proj.bias": [1, kv],
      "gate_proj.weight": [c.intermediateSize, c.hiddenSize],
      "up_proj.weight": [c.intermediateSize, c.hiddenSize],
      "down_proj.weight": [c.hiddenSize, c.intermediateSize],
      "q_norm.weight": [1, c.headDim],
      "k_norm.weight": [1, c.headDim],
      "input_layernorm.weight": [1, c.hiddenSize],
      "post_attention_layernorm.weight": [1, c.hiddenSize],
      "norm.weight": [1, c.hiddenSize],
    };
    const shape = shapes[name.split(".").slice(-2).join(".")];
    if (!shape) throw new TurboQuantError("internal", `random weights: no shape for ${name}`);
    return { rows: shape[0], cols: shape[1] };
  }
}

function normalCycle(seed: number): Uint16Array {
  const rng = new CounterRng(seed, 0);
  const words = new Uint16Array(CYCLE);
  const float = new Float32Array(1);
  const bits = new Uint32Array(float.buffer);
  for (let i = 0; i < CYCLE; i += 2) {
    const radius = 0.02 * Math.sqrt(-2 * Math.log(1 - rng.uniform(i)));
    const angle = 2 * Math.PI * rng.uniform(i + 1);
    for (const [k, value] of [radius * Math.cos(angle), radius * Math.sin(angle)].entries()) {
      float[0] = value;
      if (i + k < CYCLE) words[i + k] = bits[0]! >>> 16;
    }
  }
  return words;
}
