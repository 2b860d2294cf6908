/**
 * @file The random signs of the oracle's rotation, and how our evaluation is made to use them.
 *
 * Two rotations of one codec give different results: at 2 bits PPL over 12,288 tokens differs by 3 %, much more than the
 * tolerance for implementations. So both sides use the same signs: train/oracle.py draws `torch.randint(0, 2)` on CUDA from
 * seed 7, which is word 0 of block (element, 0) of Philox4x32-10 (Salmon et al., SC 2011) under the key 7, modulo 2.
 */
import { createRotation } from "../../src/quant/rotation.ts";

/** `SIGN_SEED` of train/oracle.py, and the `seed=` that selects these signs in our evaluation. */
export const ORACLE_SEED = 7;

const MULTIPLIERS = [0xd2511f53n, 0xcd9e8d57n] as const;
const WEYL = [0x9e3779b9, 0xbb67ae85] as const;

type Block = readonly [number, number, number, number];

/** One Philox block of four u32. */
export function philox4x32(counter: Block, key: readonly [number, number]): Block {
  let [c0, c1, c2, c3] = counter;
  let [k0, k1] = key;
  for (let round = 0; round < 10; round++) {
    const a = MULTIPLIERS[0] * BigInt(c0);
    const b = MULTIPLIERS[1] * BigInt(c2);
    c0 = (Number(b >> 32n) ^ c1 ^ k0) >>> 0;
    c2 = (Number(a >> 32n) ^ c3 ^ k1) >>> 0;
    c1 = Number(b & 0xffffffffn);
    c3 = Number(a & 0xffffffffn);
    k0 = (k0 + WEYL[0]) >>> 0;
    k1 = (k1 + WEYL[1]) >>> 0;
  }
  return [c0, c1, c2, c3];
}

/** A sign, +1 or −1, for each coordinate. */
export function oracleSigns(headDim: number): Float32Array {
  return Float32Array.from({ length: headDim }, (_, i) => {
    const [word] = philox4x32([0, 0, i, 0], [ORACLE_SEED, 0]);
    return (word % 2) * 2 - 1;
  });
}

/** Makes `rotation=hadamard,seed=7` use the oracle's signs in this process. headDim: a power of two, which has one round of signs */
export function useOracleSigns(headDim: number): void {
  const { signs } = createRotation("hadamard", headDim, ORACLE_SEED);
  if (signs.length !== 1) throw new Error(`oracle signs: head_dim ${headDim} is no power of two`);
  signs[0]!.set(oracleSigns(headDim));
}
