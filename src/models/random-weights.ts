/** @file Random weights of a given shape, so that speed can be measured without a download. */
import type { WeightPart } from "../backends/ops.ts";
import { TurboQuantError } from "../errors.ts";
import { CounterRng } from "../math/rng.ts";
import type { WeightRole } from "./blocks/block.ts";
import { layoutOf, weightSpecs } from "./layout.ts";
import type { WeightSource } from "./load-weights.ts";
import type { ModelConfig } from "./model-config.ts";

/** One cycle of normal values that every matrix repeats: a prime length, so that rows differ from each other. */
const CYCLE = 1_048_573;

/** N(0, 0.02) in bf16; norms are 1, biases 0. */
export class RandomWeights implements WeightSource {
  readonly #tensors = new Map<string, { readonly shape: readonly number[]; readonly role: WeightRole }>();
  readonly #cycle: Uint16Array;

  constructor(config: ModelConfig, seed = 1) {
    for (const { role, tensors } of weightSpecs(layoutOf(config))) {
      for (const { name, shape } of tensors) this.#tensors.set(name, { shape, role });
    }
    this.#cycle = normalCycle(seed);
  }

  async part(name: string): Promise<WeightPart> {
    const tensor = this.#tensors.get(name);
    if (!tensor) throw new TurboQuantError("internal", `random weights: the model has no tensor ${name}`);
    const cols = tensor.shape.at(-1)!;
    const rows = tensor.shape.length > 1 ? tensor.shape[0]! : 1;
    const words = new Uint16Array(rows * cols);
    if (tensor.role === "norm") words.fill(0x3f80);
    else if (tensor.role !== "bias") {
      for (let at = 0; at < words.length; at += CYCLE) {
        words.set(this.#cycle.subarray(0, Math.min(CYCLE, words.length - at)), at);
      }
    }
    return { dtype: "bf16", rows, cols, data: new Uint8Array(words.buffer) };
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
