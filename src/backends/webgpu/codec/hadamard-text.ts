/** @file WGSL of the butterflies of a rotation, for the kernel that rotates and the one that rotates back. */

/** Number of stages that stay within subgroups, for `threads` invocations with one coordinate each. subgroup: lanes, 0 for unknown */
export function shuffleBits(size: number, threads: number, subgroup: number): number {
  return subgroup < 2 || size > threads || threads % subgroup !== 0 ? 0 : Math.log2(Math.min(subgroup, size));
}

/**
 * `hadamard(start, l)` over xs[start .. start + ROTATION_SIZE), to be called by all THREADS invocations; begins and ends with a
 * barrier. The sums are the same whether values are exchanged within subgroups or through memory.
 * bits: from `shuffleBits`; if not 0, subgroups have to be enabled
 */
export function hadamardText(size: number, bits: number): string {
  const isShort = bits > 0 && 2 ** bits * 4 >= size;
  return `fn hadamard(start: u32, l: u32) {
  workgroupBarrier();${bits > 0 ? swapsText(bits) : ""}
  ${isShort ? lastStagesText(size, bits) : stagesText(bits)}
  workgroupBarrier();
}`;
}

/** The stages whose neighbours are in the same subgroup. */
const swapsText = (bits: number): string => `
  // Neighbours are in the same subgroup.
  var x = xs[start + min(l, ROTATION_SIZE - 1u)];
  for (var bit = 0u; bit < ${bits}u; bit++) {
    let other = subgroupShuffleXor(x, 1u << bit);
    x = select(x + other, other - x, ((l >> bit) & 1u) != 0u);
  }
  workgroupBarrier();
  if (l < ROTATION_SIZE) {
    xs[start + l] = x;
  }`;

/** The stages from `bits` on, each through memory. */
const stagesText = (bits: number): string => `for (var bit = ${bits}u; (1u << bit) < ROTATION_SIZE; bit++) {
    let stride = 1u << bit;
    workgroupBarrier();
    for (var pair = l; pair < ROTATION_SIZE / 2u; pair += THREADS) {
      let i = start + ((pair >> bit) << (bit + 1u)) + (pair & (stride - 1u));
      let a = xs[i];
      let b = xs[i + stride];
      xs[i] = a + b;
      xs[i + stride] = a - b;
    }
  }`;

/** The last two stages or the last one at once: an invocation reads all that its coordinate is a sum of. */
function lastStagesText(size: number, bits: number): string {
  const stride = 2 ** bits;
  const parts = size / stride;
  if (parts === 1) return "";
  const at = (n: number): string => `xs[start + (l & ${stride - 1}u) + ${n * stride}u]`;
  const joined = (a: string, b: string, bit: number): string =>
    `select(${a} + ${b}, ${a} - ${b}, ((l >> ${bit}u) & 1u) != 0u)`;
  return `workgroupBarrier();
  let a = ${at(0)};
  let b = ${at(1)};
  ${parts === 4 ? `let c = ${at(2)};\n  let d = ${at(3)};\n  let low = ${joined("a", "b", bits)};\n  let high = ${joined("c", "d", bits)};` : ""}
  workgroupBarrier();
  if (l < ROTATION_SIZE) {
    xs[start + l] = ${parts === 4 ? joined("low", "high", bits + 1) : joined("a", "b", bits)};
  }`;
}
