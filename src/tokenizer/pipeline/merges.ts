/** @file The merges of BPE: a hash table of pairs of ids, each with its rank and the id of the token that it becomes. */

export class Merges {
  readonly #left: Int32Array;
  readonly #right: Int32Array;
  readonly #rank: Int32Array;
  readonly #result: Int32Array;
  readonly #mask: number;

  /** count: pairs that will be added at most */
  constructor(count: number) {
    const size = 1 << (32 - Math.clz32(Math.max(4, count * 2)));
    this.#mask = size - 1;
    this.#left = new Int32Array(size).fill(-1);
    this.#right = new Int32Array(size);
    this.#rank = new Int32Array(size);
    this.#result = new Int32Array(size);
  }

  #slot(left: number, right: number): number {
    let slot = (Math.imul(left, 0x9e3779b1) ^ Math.imul(right, 0x85ebca6b)) >>> 0;
    slot = (slot ^ (slot >>> 15)) & this.#mask;
    while (this.#left[slot] !== -1 && (this.#left[slot] !== left || this.#right[slot] !== right)) {
      slot = (slot + 1) & this.#mask;
    }
    return slot;
  }

  /** A pair that comes twice has its last rank, as a map's entry would. */
  add(left: number, right: number, rank: number, result: number): void {
    const slot = this.#slot(left, right);
    this.#left[slot] = left;
    this.#right[slot] = right;
    this.#rank[slot] = rank;
    this.#result[slot] = result;
  }

  /** Where a pair is; -1 where it is not. */
  find(left: number, right: number): number {
    const slot = this.#slot(left, right);
    return this.#left[slot] === -1 ? -1 : slot;
  }

  rank(slot: number): number {
    return this.#rank[slot]!;
  }

  result(slot: number): number {
    return this.#result[slot]!;
  }
}
