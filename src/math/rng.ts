/**
 * @file A counter-based random generator: value n of a stream is a function of (seed, stream, n), so that every backend can
 * produce the same values in any order.
 *
 * Threefry-2x32 with 20 rounds (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
 */

const ROTATIONS = [13, 15, 26, 6, 17, 29, 16, 24] as const;
const PARITY = 0x1bd11bda;

/** One block of two u32: counter (c0, c1) encrypted with key (k0, k1). */
export function threefry2x32(k0: number, k1: number, c0: number, c1: number): [number, number] {
  const keys = [k0, k1, k0 ^ k1 ^ PARITY];
  let x0 = (c0 + k0) | 0;
  let x1 = (c1 + k1) | 0;
  for (let round = 0; round < 20; round++) {
    x0 = (x0 + x1) | 0;
    const r = ROTATIONS[round % 8]!;
    x1 = ((x1 << r) | (x1 >>> (32 - r))) ^ x0;
    if (round % 4 === 3) {
      const s = (round + 1) / 4;
      x0 = (x0 + keys[s % 3]!) | 0;
      x1 = (x1 + keys[(s + 1) % 3]! + s) | 0;
    }
  }
  return [x0 >>> 0, x1 >>> 0];
}

export class CounterRng {
  readonly #seed: number;
  readonly #stream: number;

  /** seed, stream: integers below 2^32; different streams of one seed are independent */
  constructor(seed: number, stream: number) {
    this.#seed = seed >>> 0;
    this.#stream = stream >>> 0;
  }

  /** Value number `counter` (below 2^53) of the stream, uniform in [0, 2^32). */
  uint32(counter: number): number {
    const block = Math.floor(counter / 2);
    const pair = threefry2x32(this.#seed, this.#stream, block >>> 0, Math.floor(block / 2 ** 32));
    return pair[counter % 2]!;
  }

  /** Value number `counter`, uniform in [0, 1). */
  uniform(counter: number): number {
    return this.uint32(counter) * 2 ** -32;
  }

  /** Standard normal value number `counter` (Box–Muller: a pair of counters shares two uniform values). */
  gaussian(counter: number): number {
    const even = counter - (counter % 2);
    const radius = Math.sqrt(-2 * Math.log(1 - this.uniform(even)));
    const angle = 2 * Math.PI * this.uniform(even + 1);
    return counter % 2 === 0 ? radius * Math.cos(angle) : radius * Math.sin(angle);
  }
}

/** n independent signs, each +1 or −1. */
export function signs(seed: number, stream: number, n: number): Float32Array {
  const rng = new CounterRng(seed, stream);
  return Float32Array.from({ length: n }, (_, i) => (rng.uint32(i) >>> 31 ? -1 : 1));
}
