/**
 * @file A counter-based random generator: value n of a stream is a function of (seed, stream, n), so that every backend can
 * produce the same values in any order.
 *
 * Threefry-2x32 with 20 rounds (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
 */

const ROTATIONS = [13, 15, 26, 6, 17, 29, 16, 24] as const;
const PARITY = 0x1bd11bda;

/** One block of two u32, written to `out`: counter (c0, c1) encrypted with key (k0, k1). */
export function threefry2x32(k0: number, k1: number, c0: number, c1: number, out: Uint32Array): void {
  // Injected behind every fourth round: k1 and k2, k2 and k0, k0 and k1, and so on.
  let [key, next, last] = [k1, k0 ^ k1 ^ PARITY, k0];
  let x0 = (c0 + k0) | 0;
  let x1 = (c1 + k1) | 0;
  for (let injection = 1; injection <= 5; injection++) {
    const first = injection % 2 === 1 ? 0 : 4;
    for (let round = first; round < first + 4; round++) {
      const r = ROTATIONS[round]!;
      x0 = (x0 + x1) | 0;
      x1 = ((x1 << r) | (x1 >>> (32 - r))) ^ x0;
    }
    x0 = (x0 + key) | 0;
    x1 = (x1 + next + injection) | 0;
    const used = key;
    key = next;
    next = last;
    last = used;
  }
  out[0] = x0;
  out[1] = x1;
}

export class CounterRng {
  readonly #seed: number;
  readonly #stream: number;
  // The last block and the last pair of normal values stay: most values are asked for one after the other.
  readonly #words = new Uint32Array(2);
  #block = -1;
  #pair = -1;
  #cosine = 0;
  #sine = 0;

  /** seed, stream: integers below 2^32; different streams of one seed are independent */
  constructor(seed: number, stream: number) {
    this.#seed = seed >>> 0;
    this.#stream = stream >>> 0;
  }

  /** Value number `counter` (below 2^53) of the stream, uniform in [0, 2^32). */
  uint32(counter: number): number {
    const block = Math.floor(counter / 2);
    if (block !== this.#block) {
      threefry2x32(this.#seed, this.#stream, block >>> 0, Math.floor(block / 2 ** 32), this.#words);
      this.#block = block;
    }
    return this.#words[counter % 2]!;
  }

  /** Value number `counter`, uniform in [0, 1). */
  uniform(counter: number): number {
    return this.uint32(counter) * 2 ** -32;
  }

  /** Standard normal value number `counter` (Box–Muller: a pair of counters shares two uniform values). */
  gaussian(counter: number): number {
    const even = counter - (counter % 2);
    if (even !== this.#pair) {
      const radius = Math.sqrt(-2 * Math.log(1 - this.uniform(even)));
      const angle = 2 * Math.PI * this.uniform(even + 1);
      this.#cosine = radius * Math.cos(angle);
      this.#sine = radius * Math.sin(angle);
      this.#pair = even;
    }
    return counter % 2 === 0 ? this.#cosine : this.#sine;
  }
}

/** n independent signs, each +1 or −1. */
export function signs(seed: number, stream: number, n: number): Float32Array {
  const rng = new CounterRng(seed, stream);
  return Float32Array.from({ length: n }, (_, i) => (rng.uint32(i) >>> 31 ? -1 : 1));
}
