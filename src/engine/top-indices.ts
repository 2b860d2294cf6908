/** @file Finds the k largest of many values without sorting all of them. */

/**
 * Indices of the k largest values, descending; equal values come in the order of their index.
 *
 * values: without NaN · k: at least 0. A heap of the k best takes O(n + m log k), where m values enter the heap.
 */
export function topIndices(values: Float32Array, k: number): number[] {
  const descending = (a: number, b: number): number => values[b]! - values[a]! || a - b;
  if (k >= values.length) return Array.from(values.keys()).sort(descending);
  // heap[0] is the worst of the kept ones: the smallest value, and of equal ones the larger index.
  const heap = Array.from({ length: k }, (_, i) => i);
  if (k === 0) return heap;
  const isWorse = (a: number, b: number): boolean => values[a]! < values[b]! || (values[a] === values[b] && a > b);
  const sink = (start: number): void => {
    for (let at = start; ; ) {
      let worst = at;
      const child = 2 * at + 1;
      if (child < k && isWorse(heap[child]!, heap[worst]!)) worst = child;
      if (child + 1 < k && isWorse(heap[child + 1]!, heap[worst]!)) worst = child + 1;
      if (worst === at) return;
      [heap[at], heap[worst]] = [heap[worst]!, heap[at]!];
      at = worst;
    }
  };
  for (let at = (k >> 1) - 1; at >= 0; at--) sink(at);
  for (let i = k; i < values.length; i++) {
    // A later equal value is never better, so `>` is enough.
    if (values[i]! > values[heap[0]!]!) {
      heap[0] = i;
      sink(0);
    }
  }
  return heap.sort(descending);
}
