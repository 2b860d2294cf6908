/** @file Names of quantizations in the names of GGUF files, and which of them is taken when none was asked for. */

/**
 * Bits a weight of a file of each kind, from llama.cpp's table of an 8 B Llama. They order what a repository has; a kind that is
 * missing here has the bits of its digit and a half. False: tensor types that are not read.
 */
const KINDS: Readonly<Record<string, readonly [bits: number, isRead: boolean]>> = {
  IQ1_S: [2, false],
  IQ1_M: [2.15, false],
  TQ1_0: [2, false],
  TQ2_0: [2.3, false],
  IQ2_XXS: [2.38, false],
  IQ2_XS: [2.59, false],
  IQ2_S: [2.74, false],
  IQ2_M: [2.93, false],
  IQ3_XXS: [3.25, false],
  IQ3_XS: [3.5, false],
  IQ3_S: [3.66, false],
  IQ3_M: [3.76, false],
  Q2_K_S: [2.97, true],
  Q2_K: [3.16, true],
  Q3_K_S: [3.64, true],
  Q3_K_M: [4, true],
  Q3_K_L: [4.3, true],
  MXFP4: [4.25, true],
  NVFP4: [4.5, false],
  IQ4_XS: [4.46, true],
  Q4_0: [4.66, true],
  IQ4_NL: [4.68, true],
  Q4_K_S: [4.67, true],
  Q4_K_M: [4.89, true],
  Q4_1: [5.12, true],
  Q5_0: [5.59, true],
  Q5_K_S: [5.57, true],
  Q5_K_M: [5.7, true],
  Q5_1: [6.06, true],
  Q6_K: [6.56, true],
  Q8_0: [8.5, true],
  F16: [16, true],
  BF16: [16, true],
  F32: [32, true],
};
const DEFAULT_BITS = KINDS["Q4_K_M"]![0];

const NAME =
  /(?:^|[-._/])((?:UD-)?(?:I?Q\d(?:_[A-Z0-9]+)*|TQ\d_\d|MXFP4(?:_MOE)?|NVFP4|BF16|FP?16|FP?32))(?=$|[-._/])/gi;

/**
 * The quantization that a file's path says, in capitals: `Q4_K_M` of `Llama-3.2-1B.q4_k_m.gguf` and of
 * `Q4_K_M/model-00001-of-00002.gguf`; the last one of several. Null when there is none.
 */
export function quantOfPath(path: string): string | null {
  const slash = path.lastIndexOf("/");
  const stem = path.slice(slash + 1).replace(/\.gguf$/i, "");
  const last = (text: string): string | undefined => [...text.matchAll(NAME)].at(-1)?.[1];
  const name = last(stem) ?? last(path.slice(0, Math.max(0, slash)));
  return name === undefined ? null : canonicalQuant(name);
}

/** In capitals, and FP16 as F16. */
export const canonicalQuant = (name: string): string => name.toUpperCase().replace(/^FP(?=16|32)/, "F");

/** False for kinds whose tensors are of types that are not read. */
export const isReadQuant = (name: string): boolean => KINDS[kindOf(name)]?.[1] ?? true;

/**
 * What is taken of several when none was asked for: `Q4_K_M`, else the kind that is read and nearest to it in bits a weight, of
 * two as near the larger.
 */
export function defaultQuant(names: readonly string[]): string | undefined {
  const distance = (name: string): number => Math.abs(bitsOf(name) - DEFAULT_BITS);
  const read = names.filter(isReadQuant);
  return [...(read.length > 0 ? read : names)].sort(
    (a, b) =>
      Number(b === "Q4_K_M") - Number(a === "Q4_K_M") ||
      distance(a) - distance(b) ||
      bitsOf(b) - bitsOf(a) ||
      order(a, b),
  )[0];
}

/** From few bits to many. */
export const byBits = (a: string, b: string): number => bitsOf(a) - bitsOf(b) || order(a, b);

const order = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** Without the marks of those who made the file: UD- of Unsloth, _XL and _L for larger embeddings. */
function kindOf(name: string): string {
  const kind = name.replace(/^UD-/, "").replace(/_MOE$/, "");
  if (kind in KINDS) return kind;
  const plain = kind.replace(/_X?L$/, "");
  return plain in KINDS ? plain : `${plain}_M`;
}

function bitsOf(name: string): number {
  return KINDS[kindOf(name)]?.[0] ?? Number(/\d+/.exec(name)?.[0] ?? 0) + 0.5;
}
