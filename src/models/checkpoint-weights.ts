/** @file Weights of a checkpoint as the decoder asks for them, checked for shape dtype and finiteness on the way. */
import type { WeightPart } from "../backends/ops.ts";
import { TurboQuantError } from "../errors.ts";
import type { Checkpoint } from "../formats/safetensors.ts";
import type { WeightSource } from "./load-weights.ts";

/** Index of the first NaN or infinity, or -1. An exponent of all ones marks both, in every one of the three types. */
function firstNonFinite(part: WeightPart): number {
  const { buffer, byteOffset, byteLength } = part.data;
  const aligned = byteOffset % 4 === 0 ? part.data : part.data.slice();
  if (part.dtype === "f32") {
    const words = new Uint32Array(aligned === part.data ? buffer : aligned.buffer, aligned.byteOffset, byteLength >> 2);
    return words.findIndex((w) => (w & 0x7f800000) === 0x7f800000);
  }
  const words = new Uint16Array(aligned === part.data ? buffer : aligned.buffer, aligned.byteOffset, byteLength >> 1);
  const mask = part.dtype === "bf16" ? 0x7f80 : 0x7c00;
  for (let i = 0; i < words.length; i++) if ((words[i]! & mask) === mask) return i;
  return -1;
}

export class CheckpointWeights implements WeightSource {
  readonly #checkpoint: Checkpoint;
  readonly #name: string;

  constructor(checkpoint: Checkpoint, name: string) {
    this.#checkpoint = checkpoint;
    this.#name = name;
  }

  /** @throws TurboQuantError invalid_file — absent, not a matrix or vector, or with a NaN or infinity */
  async part(name: string): Promise<WeightPart> {
    const info = this.#checkpoint.tensors.get(name);
    if (!info) {
      throw new TurboQuantError(
        "invalid_file",
        `${this.#name}: tensor ${name} is missing; the checkpoint does not fit its config.json (or is an adapter)`,
        { tensor: name },
      );
    }
    if (info.shape.length < 1 || info.shape.length > 2) {
      throw new TurboQuantError(
        "invalid_file",
        `${info.file}: ${name}: expected 1 or 2 dimensions, got ${info.shape.length}`,
      );
    }
    const [rows, cols] = info.shape.length === 1 ? [1, info.shape[0]!] : [info.shape[0]!, info.shape[1]!];
    const part: WeightPart = { dtype: info.dtype, rows, cols, data: await this.#checkpoint.read(name) };
    const bad = firstNonFinite(part);
    if (bad >= 0) {
      throw new TurboQuantError(
        "invalid_file",
        `${info.file}: ${name}: value ${bad} is not finite; the file is damaged or was saved from a diverged run, fetch it again`,
        { tensor: name, index: bad },
      );
    }
    return part;
  }
}
