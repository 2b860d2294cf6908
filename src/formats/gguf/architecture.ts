/** @file What a GGUF architecture is made of: its `model_type`, and the names of its tensors. */
import type { JsonObject } from "../json-file.ts";
import type { ModelSizes } from "./gemma-fields.ts";
import type { Heads } from "./layer-heads.ts";
import type { Metadata } from "./metadata.ts";

export interface GgufArchitecture {
  /** As config.json calls it. */
  readonly modelType: string;
  /** Others whose files are of this architecture. They are told apart by what a file has, or come to the same. */
  readonly otherTypes?: readonly string[];
  /**
   * Whether llama.cpp rotates neighbouring coordinates of a head (its rope type NORM), for which converters interleave the
   * rows of q and k. Ours rotates the two halves, as Transformers does, and takes the rows back to their places.
   */
  readonly interleavesHeads: boolean;
  /** Tensors of a layer besides those that all have, or with other names. */
  readonly layer: Readonly<Record<string, string>>;
  /** Tensors outside the layers that have other names. */
  readonly model?: Readonly<Record<string, string>>;
  /** Fields of config.json besides those that all have. */
  readonly fields?: (metadata: Metadata, sizes: ModelSizes) => JsonObject;
  /** Its heads, where layers differ in them; absent: those of all layers are alike. */
  readonly heads?: (metadata: Metadata) => Heads;
  /** Fields in the place of `rope_scaling`. divisors: of the frequencies, where the file has them */
  readonly ropes?: (metadata: Metadata, divisors: readonly number[] | null) => JsonObject;
  /** Fields of `rope_scaling` besides those that all have. */
  readonly ropeFields?: (metadata: Metadata) => JsonObject;
  /** Keys that these come from, without the architecture, among those that stand for what is not computed with elsewhere. */
  readonly reads?: readonly string[];
  /** What may have biases: the products of q, k and v, those of attention and feed-forwards, or all. Elsewhere a bias is not computed with. */
  readonly biases?: "qkv" | "products" | "all";
  /**
   * Tensors of a layer whose names do not end as others do, `weight` or `bias`, in the file or here, by what follows the layer's number
   * in the file.
   */
  readonly whole?: Readonly<Record<string, string>>;
  /** What stands before a layer's number; absent: `model.layers.`. */
  readonly layers?: string;
  /** Shapes that tensors of a layer have, by those that files give them; keys as for `values`. */
  readonly shapes?: Readonly<Record<string, (stored: readonly number[]) => readonly number[]>>;
  /** Values that tensors of a layer have, by those in the file; by what follows the layer's number, without `.weight`. Only of plain numbers. */
  readonly values?: Readonly<Record<string, (stored: number) => number>>;
  /** Names of the parts along their first dimension of tensors that are several elsewhere; keys are the names in the file without `.weight`. */
  readonly slices?: Readonly<Record<string, (index: number) => string>>;
  /** The same of vectors in layers; keys as for `values`, names behind the layer's number. */
  readonly layerSlices?: Readonly<Record<string, (index: number) => string>>;
  /** Tensors that are numbers among the metadata, by name. */
  readonly made?: (metadata: Metadata) => ReadonlyMap<string, readonly number[]>;
  /** What its layers have: latent attention, whose heads are described by keys of their own, or no attention; absent: the usual. */
  readonly attention?: "latent" | "none";
  /** Whether some layers have no attention, which their number of KV heads says, and some perhaps no feed-forward, of width 0. */
  readonly hasLayersWithoutHeads?: true;
  /** Whether `fields` say the widths of its feed-forwards. */
  readonly hasOwnWidths?: true;
  /** The model type of files that have parts for images beside it, as Ollama's do; elsewhere such parts are not computed with. */
  readonly withImages?: string;
  /** What files of this name are that have experts. */
  readonly withExperts?: GgufArchitecture;
  /** Names of files that have a tensor of this name in their first layer. */
  readonly withPart?: { readonly part: string; readonly layer: Readonly<Record<string, string>> };
  /** Whether a part of a head may be turned. */
  readonly hasPartialRope?: true;
  /** Whether its norms are LayerNorm; the others are RMSNorm, whose epsilon every file has. */
  readonly hasLayerNorm?: true;
}

/** The model types that files of an architecture may be. */
export const typesOf = ({ modelType, otherTypes = [], withExperts }: GgufArchitecture): string[] => [
  modelType,
  ...otherTypes,
  ...(withExperts ? typesOf(withExperts) : []),
];

/** Tensors outside the layers, by name in the file. */
export const MODEL_TENSORS = {
  token_embd: "model.embed_tokens",
  output_norm: "model.norm",
  output: "lm_head",
};

/** Tensors of every layer; biases have the same names with `bias` in the place of `weight`. */
export const LAYER_TENSORS = {
  attn_norm: "input_layernorm",
  attn_q: "self_attn.q_proj",
  attn_k: "self_attn.k_proj",
  attn_v: "self_attn.v_proj",
  attn_output: "self_attn.o_proj",
  ffn_norm: "post_attention_layernorm",
  ffn_gate: "mlp.gate_proj",
  ffn_up: "mlp.up_proj",
  ffn_down: "mlp.down_proj",
};

/** Norms of the heads of q and k, or of whole rows. */
export const QK_NORMS = { attn_q_norm: "self_attn.q_norm", attn_k_norm: "self_attn.k_norm" };

/** Norms before and after blocks, as Gemma calls them. */
export const NORMS_AROUND = {
  post_attention_norm: "post_attention_layernorm",
  ffn_norm: "pre_feedforward_layernorm",
  post_ffw_norm: "post_feedforward_layernorm",
};

/** What stands before the number of a layer. */
export const layersOf = ({ layers = "model.layers." }: GgufArchitecture): string => layers;

/** `blk.3.attn_q.weight` as Transformers calls it; undefined for a tensor that the decoder does not use. */
export function canonicalName(stored: string, architecture: GgufArchitecture): string | undefined {
  const [, index, rest] = /^blk\.(0|[1-9]\d*)\.([\w.]+)$/.exec(stored) ?? [];
  const { whole = {}, layer, model } = architecture;
  if (rest !== undefined && Object.hasOwn(whole, rest)) return `${layersOf(architecture)}${index}.${whole[rest]}`;
  const [, part, kind] = /^([\w.]+)\.(weight|bias)$/.exec(rest ?? stored) ?? [];
  const names: Readonly<Record<string, string>> =
    rest === undefined ? { ...MODEL_TENSORS, ...model } : { ...LAYER_TENSORS, ...layer };
  const own = part === undefined ? undefined : nameOf(names, part);
  if (own === undefined) return undefined;
  return `${rest === undefined ? "" : `${layersOf(architecture)}${index}.`}${own}.${kind}`;
}

/** Files of before have each matrix of an expert by itself, `ffn_up.3` for that of `ffn_up_exps`. */
function nameOf(names: Readonly<Record<string, string>>, part: string): string | undefined {
  if (Object.hasOwn(names, part)) return names[part];
  const [, matrix, expert] = /^(ffn_(?:gate|up|down))\.(\d+)$/.exec(part) ?? [];
  return matrix === undefined ? undefined : names[`${matrix}_exps`]?.replace(/\.(\w+)$/, `.${expert}.$1`);
}

/** The way back: what files of this architecture call a tensor. */
export function storedName(name: string, architecture: GgufArchitecture): string {
  const before = layersOf(architecture);
  const [, layer, inLayer] = (name.startsWith(before) && /^(\d+)\.(.+)$/.exec(name.slice(before.length))) || [];
  const whole = Object.entries(architecture.whole ?? {}).find(([, canonical]) => canonical === inLayer)?.[0];
  if (whole !== undefined) return `blk.${layer}.${whole}`;
  const [, own, kind] = /^(.+)\.(weight|bias)$/.exec(inLayer ?? name) ?? [];
  const names =
    layer === undefined
      ? { ...architecture.model, ...MODEL_TENSORS, ...architecture.model }
      : { ...architecture.layer, ...LAYER_TENSORS, ...architecture.layer };
  // An architecture's own names come before those of all others.
  const partNamed = (canonical: string | undefined): string | undefined =>
    Object.entries(names).find(([, value]) => value === canonical)?.[0];
  const [, experts, expert, matrix] = /^(.+)\.(\d+)\.(\w+)$/.exec(own ?? "") ?? [];
  const part =
    partNamed(own) ?? (experts && partNamed(`${experts}.${matrix}`)?.replace(/_exps$/, `.${expert}`)) ?? undefined;
  if (part === undefined) return name;
  return layer === undefined ? `${part}.${kind}` : `blk.${layer}.${part}.${kind}`;
}

/** What the tables of an architecture call a tensor of a layer: without the layer and `.weight`. */
export const partOf = (stored: string): string => /^blk\.\d+\.(.+?)(?:\.weight)?$/.exec(stored)?.[1] ?? "";
