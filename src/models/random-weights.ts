/** @file A checkpoint of random weights in a given shape, for measuring speed without a download. */
import { TurboQuantError } from "../errors.ts";
import type { Checkpoint, TensorInfo } from "../formats/checkpoint.ts";
import { fingerprintOf } from "../formats/checkpoint-fingerprint.ts";
import type { FileSource } from "../formats/file-source.ts";
import { MemorySource } from "../formats/memory-source.ts";
import { fromBfloat16Bits, toFloat16Bits } from "../math/float16.ts";
import { CounterRng } from "../math/rng.ts";
import { weightFormat } from "../weights/registry.ts";
import { matrixBytes } from "../weights/weight-format.ts";
import type { WeightRole } from "./blocks/block.ts";
import { parseModelConfig } from "./config.ts";
import { layoutOf, weightSpecs } from "./layout.ts";

/** Length of the one cycle of normal values that all matrices repeat. It is prime, so that rows differ from each other. */
const CYCLE = 1_048_573;

/** Matrices are N(0, 0.02) in bf16, or those values in f16, norms 1, biases 0. The checkpoint has a config.json and no tokenizer. */
export class RandomCheckpoint implements Checkpoint {
  readonly name: string;
  readonly modelName: string;
  readonly configFile: string;
  readonly stem = null;
  readonly container = "random";
  readonly files: FileSource;
  readonly #json: unknown;
  readonly #tensors = new Map<string, TensorInfo & { readonly role: WeightRole; readonly norm: number }>();
  readonly #cycle: Uint16Array;
  /** The stored word of a bf16. */
  readonly #word: (bits: number) => number;

  /**
   * json: a parsed config.json · name: of the model, for messages too · dtype: as which the tensors are stored
   * @throws TurboQuantError invalid_file, unsupported — as `parseModelConfig`
   */
  constructor(json: unknown, name: string, dtype: "bf16" | "f16" = "bf16") {
    this.name = this.modelName = this.configFile = name;
    this.files = new MemorySource({ "config.json": JSON.stringify(json) }, name);
    this.#json = json;
    for (const { role, tensors, offset = 0 } of weightSpecs(layoutOf(parseModelConfig(json, name)))) {
      for (const tensor of tensors) {
        const numValues = tensor.shape.reduce((product, size) => product * size, 1);
        const numBytes = matrixBytes(weightFormat(dtype), 1, numValues);
        this.#tensors.set(tensor.name, {
          ...tensor,
          dtype,
          numBytes,
          file: name,
          isFinite: true,
          role,
          norm: 1 - offset,
        });
      }
    }
    this.#word = dtype === "bf16" ? (bits) => bits : (bits) => toFloat16Bits(fromBfloat16Bits(bits));
    this.#cycle = cycleOf(dtype, this.#word);
  }

  async config(): Promise<unknown> {
    return this.#json;
  }

  async tensors(): Promise<ReadonlyMap<string, TensorInfo>> {
    return this.#tensors;
  }

  async read(name: string, start = 0, end?: number): Promise<Uint8Array> {
    const tensor = this.#tensors.get(name);
    if (!tensor) throw new TurboQuantError("internal", `random weights: the model has no tensor ${name}`);
    const first = Math.floor(start / 2);
    const last = Math.ceil((end ?? tensor.numBytes) / 2);
    const words = new Uint16Array(last - first);
    if (tensor.role === "norm") words.fill(this.#word(tensor.norm === 1 ? 0x3f80 : 0));
    else if (tensor.role !== "bias") {
      for (let at = 0; at < words.length; ) {
        const from = (first + at) % CYCLE;
        const piece = this.#cycle.subarray(from, from + words.length - at);
        words.set(piece, at);
        at += piece.length;
      }
    }
    return new Uint8Array(words.buffer, start % 2, (end ?? tensor.numBytes) - start);
  }

  fingerprint(): Promise<string> {
    return fingerprintOf(this);
  }
}

const cycles = new Map<string, Uint16Array>();

/** The words that all models of a type have in common: to draw them takes longer than anything else here. */
function cycleOf(dtype: string, word: (bits: number) => number): Uint16Array {
  const cycle = cycles.get(dtype) ?? normalCycle().map(word);
  cycles.set(dtype, cycle);
  return cycle;
}

/** Words of bf16. */
function normalCycle(): Uint16Array {
  const rng = new CounterRng(1, 0);
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
