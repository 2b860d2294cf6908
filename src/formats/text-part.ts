/**
 * @file The text model among the tensors of a model with image or sound inputs: its tensors lie below a name of the wrapper, and
 * are given those that they have in a checkpoint of the text model alone.
 */
import type { TensorInfo, TensorSet } from "./checkpoint.ts";

/** Names that wrappers put before, or into, those of the text model, as saved by different versions of Transformers. */
const PREFIXES: readonly (readonly [stored: string, own: string])[] = [
  ["language_model.model.", "model."],
  ["model.language_model.", "model."],
  ["language_model.lm_head.", "lm_head."],
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
