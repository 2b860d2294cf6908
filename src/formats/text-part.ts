/**
 * @file Names of tensors that depend on what a model was saved as. With image or sound inputs, those of the text model lie below a
 * name of the wrapper, and GPT-2 without its head and DeepSeek-V4 have no name of the model: they are given the names of a text model with its head.
 */
import type { TensorInfo, TensorSet } from "./checkpoint.ts";

/** Names that wrappers put before, or into, those of the text model, as saved by different versions of Transformers. */
const PREFIXES: readonly (readonly [stored: string, own: string])[] = [
  ["language_model.model.", "model."],
  ["model.language_model.", "model."],
  ["language_model.lm_head.", "lm_head."],
  // DeepSeek-V4, as published and as Transformers saves it.
  ["embed.", "model.embed_tokens."],
  ["layers.", "model.layers."],
  ["hc_head_", "model.hc_head.hc_"],
  ["norm.", "model.norm."],
  ["head.", "lm_head."],
  ...["wte.", "wpe.", "h.", "ln_f."].map((name) => [name, `transformer.${name}`] as const),
];

function ownName(stored: string): string {
  const found = PREFIXES.find(([prefix]) => stored.startsWith(prefix));
  return found ? found[1] + stored.slice(found[0].length) : stored;
}

/** The set itself where it is that of a text model. Other parts, such as a vision tower, keep their names. */
export function withTextPart(set: TensorSet): TensorSet {
  const stored = new Map<string, string>();
  for (const name of set.tensors.keys()) {
    const own = ownName(name);
    if (own !== name && !set.tensors.has(own)) stored.set(own, name);
  }
  if (stored.size === 0) return set;
  const names = new Map(Array.from(stored, ([own, name]) => [name, own] as const));
  const tensors = new Map<string, TensorInfo>();
  for (const info of set.tensors.values()) {
    const name = names.get(info.name) ?? info.name;
    tensors.set(name, { ...info, name });
  }
  return {
    tensors,
    nameInFile: (name) => stored.get(name) ?? set.nameInFile?.(name) ?? name,
    read: (name, ...range) => set.read(stored.get(name) ?? name, ...range),
  };
}
