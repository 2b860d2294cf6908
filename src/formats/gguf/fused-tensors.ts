/** @file Tensors that files have in one where the decoder takes several: parts of a tensor are tensors too. */
import type { GgufArchitecture } from "./architecture.ts";
import { kvHeadsOf } from "./config-json.ts";
import type { GgufTensor } from "./header.ts";
import type { Metadata } from "./metadata.ts";

/** The matrices of a tensor that is several; of a single one it says nothing. */
export function slicesOf(tensor: GgufTensor): GgufTensor[] {
  if (tensor.shape.length < 3) return [tensor];
  const [count, ...shape] = tensor.shape as [number, ...number[]];
  return Array.from({ length: count }, (_, i) => ({ ...rowsOf(tensor, i, 1), shape }));
}

/** q, k and v of a file that has them in one tensor, one after the other; another tensor as it is. */
export function apart(tensor: GgufTensor, architecture: GgufArchitecture, metadata: Metadata): GgufTensor[] {
  const [, before, kind] = /^(blk\.\d+\.attn_)qkv\.(weight|bias)$/.exec(tensor.name) ?? [];
  if (before === undefined || architecture.attention || Object.hasOwn(architecture.layer, "attn_qkv")) return [tensor];
  const size = (key: string, fallback?: number): number =>
    metadata.size(metadata.own(key), Number.MAX_SAFE_INTEGER, fallback);
  const numHeads = size("attention.head_count");
  const headDim = size("attention.key_length", size("embedding_length") / numHeads);
  const [q, kv] = [numHeads * headDim, kvHeadsOf(metadata, architecture, numHeads) * headDim];
  if (tensor.shape[0] !== q + 2 * kv) return [tensor];
  return [
    { ...rowsOf(tensor, 0, q), name: `${before}q.${kind}` },
    { ...rowsOf(tensor, q, kv), name: `${before}k.${kind}` },
    { ...rowsOf(tensor, q + kv, kv), name: `${before}v.${kind}` },
  ];
}

function rowsOf(tensor: GgufTensor, first: number, count: number): GgufTensor {
  const [rows, ...shape] = tensor.shape as [number, ...number[]];
  const bytes = tensor.numBytes / rows;
  return { ...tensor, shape: [count, ...shape], offset: tensor.offset + first * bytes, numBytes: count * bytes };
}
