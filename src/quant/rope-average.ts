/**
 * @file What RoPE makes of the moments of vectors that it turns, averaged over positions.
 *
 * Taken as complex numbers z_j = x_j + i·x_(j + d/2), the pairs of a vector at position p become z_j·e^(i·p·θ_j). If what a vector is
 * before that does not depend on where it stands, the mean of z_j·z̄_k over positions is its mean before times that of
 * e^(i·p·(θ_j − θ_k)), and the mean of z_j·z_k times that of e^(i·p·(θ_j + θ_k)): geometric sums. So a text of a thousand tokens gives
 * the moments at any length.
 */

/**
 * cos and sin of the angle of each row and pair, [rows][headDim / 2][2].
 *
 * invFreq: [headDim / 2] radians a position · first: position of the first row
 */
export function turnsOf(invFreq: Float64Array, first: number, rows: number): Float64Array {
  const half = invFreq.length;
  const turns = new Float64Array(rows * half * 2);
  for (let row = 0, at = 0; row < rows; row++) {
    for (let j = 0; j < half; j++, at += 2) {
      const angle = (first + row) * invFreq[j]!;
      turns[at] = Math.cos(angle);
      turns[at + 1] = Math.sin(angle);
    }
  }
  return turns;
}

/** Means of e^(i·p·φ) over the positions p of a sequence. */
interface Means {
  readonly re: Float64Array;
  readonly im: Float64Array;
}

export class RopeAverage {
  readonly #half: number;
  /** Of φ = θ_j. */
  readonly #own: Means;
  /** Of φ = θ_j − θ_k and of θ_j + θ_k, [j][k]. */
  readonly #differences: Means;
  readonly #sums: Means;

  /**
   * Positions from 0 to below each of `lengths`, which count alike.
   *
   * invFreq: [headDim / 2] radians a position
   */
  constructor(invFreq: Float64Array, lengths: readonly number[]) {
    const half = invFreq.length;
    this.#half = half;
    const pairs = (of: (x: number, y: number) => number): number[] =>
      Array.from({ length: half * half }, (_, at) => of(invFreq[Math.floor(at / half)]!, invFreq[at % half]!));
    this.#own = meansOver(lengths, [...invFreq]);
    this.#differences = meansOver(
      lengths,
      pairs((x, y) => x - y),
    );
    this.#sums = meansOver(
      lengths,
      pairs((x, y) => x + y),
    );
  }

  /** Mean of vectors of which `mean`, [headDim], is the mean before RoPE. */
  mean(mean: Float64Array): Float64Array {
    const half = this.#half;
    const { re, im } = this.#own;
    const out = new Float64Array(2 * half);
    for (let j = 0; j < half; j++) {
      const [x, y] = [mean[j]!, mean[j + half]!];
      out[j] = x * re[j]! - y * im[j]!;
      out[j + half] = x * im[j]! + y * re[j]!;
    }
    return out;
  }

  /** Second moment of vectors of which `moment`, [headDim][headDim] and symmetric, is the second moment before RoPE. */
  secondMoment(moment: Float64Array): Float64Array {
    const half = this.#half;
    const d = 2 * half;
    const [difference, sum] = [this.#differences, this.#sums];
    const out = new Float64Array(d * d);
    for (let j = 0; j < half; j++) {
      for (let k = 0; k < half; k++) {
        const at = j * half + k;
        const xx = moment[j * d + k]!;
        const xy = moment[j * d + k + half]!;
        const yx = moment[(j + half) * d + k]!;
        const yy = moment[(j + half) * d + k + half]!;
        // The mean of z_j·z̄_k is (xx + yy) + i·(yx − xy), and that of z_j·z_k is (xx − yy) + i·(yx + xy).
        const [cr, ci] = turned(xx + yy, yx - xy, difference.re[at]!, difference.im[at]!);
        const [pr, pi] = turned(xx - yy, yx + xy, sum.re[at]!, sum.im[at]!);
        out[j * d + k] = (cr + pr) / 2;
        out[j * d + k + half] = (pi - ci) / 2;
        out[(j + half) * d + k] = (ci + pi) / 2;
        out[(j + half) * d + k + half] = (cr - pr) / 2;
      }
    }
    return out;
  }
}

const turned = (re: number, im: number, cosine: number, sine: number): [re: number, im: number] => [
  re * cosine - im * sine,
  re * sine + im * cosine,
];

function meansOver(lengths: readonly number[], angles: readonly number[]): Means {
  const means = { re: new Float64Array(angles.length), im: new Float64Array(angles.length) };
  for (const [at, angle] of angles.entries()) {
    for (const length of lengths) {
      // Σ e^(i·p·φ) over p < n is e^(i·φ·(n − 1)/2)·sin(n·φ/2)/sin(φ/2).
      const below = Math.sin(angle / 2);
      const size = Math.abs(below) < 1e-12 ? 1 : Math.sin((length * angle) / 2) / (length * below);
      const middle = (angle * (length - 1)) / 2;
      means.re[at] = means.re[at]! + (size * Math.cos(middle)) / lengths.length;
      means.im[at] = means.im[at]! + (size * Math.sin(middle)) / lengths.length;
    }
  }
  return means;
}
