/** @file The attention of families whose layers all have latent attention. */
import type { Block } from "../../blocks/block.ts";
import { latentAttention } from "../../blocks/latent-attention.ts";
import type { Family, MixerContext } from "../family.ts";

/** Their `Family.mixer`. */
export const latentMixer: NonNullable<Family["mixer"]> =
  (_, { hiddenSize, numHeads, latent, ropeOf }: MixerContext) =>
  (layer: number, prefix: string): Block =>
    latentAttention(`${prefix}self_attn.`, { ...latent!, hiddenSize, numHeads, rope: ropeOf(layer) });
