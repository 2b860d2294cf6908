/** @file The fields of a config that describe gated delta nets, and which layers have one. */
import { MAX_DELTA_DIM, MAX_KERNEL } from "../../../backends/state-ops.ts";
import { requireSilu } from "../../activation-names.ts";
import type { DeltaNetShape } from "../../blocks/gated-delta-net.ts";
import type { ConfigFields } from "../../config-fields.ts";

const MAX_HEADS = 4096;
const MAX_LAYERS = 1024;

/** Which layers have a delta net: by `layer_types`, or all but each n-th. */
export function linearLayers(config: ConfigFields, numLayers: number): (layer: number) => boolean {
  const types = config.raw("layer_types");
  if (types === undefined) {
    const interval = config.integer("full_attention_interval", 1, MAX_LAYERS, 4);
    return (layer) => (layer + 1) % interval !== 0;
  }
  const isSound = Array.isArray(types) && types.every((type) => ["linear_attention", "full_attention"].includes(type));
  if (!isSound || types.length !== numLayers)
    throw config.invalid("layer_types", `a list of ${numLayers} of linear_attention and full_attention, one a layer`);
  return (layer) => types[layer] === "linear_attention";
}

/** Values where a config leaves the fields out. */
export interface DeltaNetDefaults {
  readonly numKeyHeads: number;
  readonly numHeads: number;
  keyDim(numKeyHeads: number): number;
  valueDim(keyDim: number): number;
}

/**
 * `linear_value_heads_tiled` is no field of published configs: GGUF files have heads of v in that order.
 * @throws TurboQuantError invalid_file — a field that is wrong; unsupported — widths or an activation without kernels
 */
export function parseDeltaNet(
  config: ConfigFields,
  defaults: DeltaNetDefaults,
): Pick<DeltaNetShape, "numHeads" | "numKeyHeads" | "isTiled" | "keyDim" | "valueDim" | "kernel"> {
  requireSilu(config, "hidden_act", "gated delta nets");
  const numKeyHeads = config.integer("linear_num_key_heads", 1, MAX_HEADS, defaults.numKeyHeads);
  const numHeads = config.integer("linear_num_value_heads", 1, MAX_HEADS, defaults.numHeads);
  if (numHeads % numKeyHeads !== 0)
    throw config.invalid("linear_num_value_heads", `a multiple of linear_num_key_heads (${numKeyHeads})`);
  const dimOf = (name: string, fallback: number): number => config.integer(name, 1, MAX_DELTA_DIM, fallback);
  const keyDim = dimOf("linear_key_head_dim", defaults.keyDim(numKeyHeads));
  const valueDim = dimOf("linear_value_head_dim", defaults.valueDim(keyDim));
  return {
    numHeads,
    numKeyHeads,
    isTiled: config.boolean("linear_value_heads_tiled", false),
    keyDim,
    valueDim,
    kernel: config.integer("linear_conv_kernel_dim", 2, MAX_KERNEL, 4),
  };
}
