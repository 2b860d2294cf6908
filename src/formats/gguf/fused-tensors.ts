/** @file Tensors that files have in one where the decoder takes several: parts of a tensor are tensors too. */
import { type GgufArchitecture, layersOf, partOf } from "./architecture.ts";
import { kvHeadsOf } from "./config-json.ts";
import type { GgufTensor } from "./header.ts";
import type { Metadata } from "./metadata.ts";

/** The matrices, or in layers the vectors, of a tensor that is several elsewhere, by their names there; null for another tensor. */
export function slicesOf(tensor: GgufTensor, architecture: GgufArchitecture): GgufTensor[] | null {
  const { slices = {}, layerSlices = {} } = architecture;
  const whole = slices[tensor.name.replace(/\.weight$/, "")];
  if (whole) return slicesAs(tensor, 2, whole);
  const [, layer] = /^blk\.(\d+)\..+\.weight$/.exec(tensor.name) ?? [];
  const inLayer = layerSlices[partOf(tensor.name)];
  if (layer === undefined || !inLayer) return null;
  return slicesAs(tensor, 1, (index) => `${layersOf(architecture)}${layer}.${inLayer(index)}`);
}

/** Files list a single slice without the dimension of their number. dims: of a slice */
function slicesAs(tensor: GgufTensor, dims: number, nameOf: (index: number) => string): GgufTensor[] {
  if (tensor.shape.length <= dims) return [{ ...tensor, name: nameOf(0) }];
  const [count, ...shape] = tensor.shape as [number, ...number[]];
  return Array.from({ length: count }, (_, i) => ({ ...rowsOf(tensor, i, 1), shape, name: nameOf(i) }));
}

/** q, k and v of a file that has them in one tensor, one after the other; another tensor as it is. */
export function apart(tensor: GgufTensor, architecture: GgufArchitecture, metadata: Metadata): GgufTensor[] {
  const [, before, kind] = /^(blk\.\d+\.attn_)qkv\.(weight|bias)$/.exec(tensor.name) ?? [];
  if (before === undefined || architecture.attention || Object.hasOwn(architecture.layer, "attn_qkv")) return [tensor];
  const size = (key: string, fallback?: number): number =>
    metadata.size(metadata.own(key), Number.MAX_SAFE_INTEGER, fallback);
  const numHeads = size("attention.head_count");
  const headDim = size("attention.key_length", size("embedding_length") / numHeads);
  const listed = architecture.heads && metadata.raw(metadata.own("attention.head_count_kv"));
  const ofLayer = Array.isArray(listed) ? Number(listed[Number(/\d+/.exec(before)![0])]) : null;
  const numKvHeads = ofLayer ?? kvHeadsOf(metadata, architecture, numHeads);
  const valueDim = size("attention.value_length", headDim);
  const [q, k, v] = [numHeads * headDim, numKvHeads * headDim, numKvHeads * valueDim];
  if (tensor.shape[0] !== q + k + v) return [tensor];
  return [
    { ...rowsOf(tensor, 0, q), name: `${before}q.${kind}` },
    { ...rowsOf(tensor, q, k), name: `${before}k.${kind}` },
    { ...rowsOf(tensor, q + k, v), name: `${before}v.${kind}` },
  ];
}

function rowsOf(tensor: GgufTensor, first: number, count: number): GgufTensor {
  const [rows, ...shape] = tensor.shape as [number, ...number[]];
  const bytes = tensor.numBytes / rows;
  return { ...tensor, shape: [count, ...shape], offset: tensor.offset + first * bytes, numBytes: count * bytes };
}
