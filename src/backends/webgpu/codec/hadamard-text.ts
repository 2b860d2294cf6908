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
export function hadamardText(bits: number): string {
  const swaps = `
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
  return `fn hadamard(start: u32, l: u32) {
  workgroupBarrier();${bits > 0 ? swaps : ""}
  for (var bit = ${bits}u; (1u << bit) < ROTATION_SIZE; bit++) {
    let stride = 1u << bit;
    workgroupBarrier();
    for (var pair = l; pair < ROTATION_SIZE / 2u; pair += THREADS) {
      let i = start + ((pair >> bit) << (bit + 1u)) + (pair & (stride - 1u));
      let a = xs[i];
      let b = xs[i + stride];
      xs[i] = a + b;
      xs[i + stride] = a - b;
    }
  }
  workgroupBarrier();
}`;
}
