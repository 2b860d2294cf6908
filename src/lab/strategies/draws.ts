/** @file Random choices of the strategies, the same for the same seed on every machine. */
import { CounterRng } from "../../math/rng.ts";

const STREAM_SWEEP = 0x53e9;

export class Draws {
  readonly #rng: CounterRng;
  #drawn = 0;

  /** stream: different streams of one seed are independent */
  constructor(seed: number, stream = 0) {
    this.#rng = new CounterRng(seed, STREAM_SWEEP + stream);
  }

  /** Uniform in (0, 1). */
  uniform(): number {
    return (this.#rng.uint32(this.#drawn++) + 0.5) * 2 ** -32;
  }

  /** Standard Gumbel. The largest of log-weights plus such numbers is a draw in proportion to the weights. */
  gumbel(): number {
    return -Math.log(-Math.log(this.uniform()));
  }

  /** A copy in random order (Fisher–Yates). */
  shuffled<T>(items: readonly T[]): T[] {
    const out = [...items];
    for (let i = out.length - 1; i > 0; i--) {
      const j = Math.floor(this.uniform() * (i + 1));
      [out[i], out[j]] = [out[j]!, out[i]!];
    }
    return out;
  }
}
