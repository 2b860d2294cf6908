/** @file What a layer keeps of a token, in words. */

interface CachedHeads {
  readonly numKvHeads: number;
  readonly headDim: number;
  readonly valueDim?: number | undefined;
  readonly rotaryKeyDim?: number | undefined;
  readonly isOneRow?: true | undefined;
}

/** For example `2 KV heads of 64`; of 192 and 128 where values are narrower, and what latent attention has in their place. */
export function headsText({
  numKvHeads,
  headDim,
  valueDim = headDim,
  rotaryKeyDim = 0,
  isOneRow,
}: CachedHeads): string {
  if (isOneRow) return `rows of ${headDim}, keys and values at once`;
  if (rotaryKeyDim > 0) return `latent rows of ${headDim} and ${rotaryKeyDim}`;
  return `${numKvHeads} KV heads of ${headDim}${valueDim === headDim ? "" : ` and ${valueDim}`}`;
}
