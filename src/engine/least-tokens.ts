/** @file Keeps an answer from ending before it has a number of tokens. */
import type { TokenConstraint } from "./token-constraint.ts";

export class LeastTokens implements TokenConstraint {
  #left: number;
  readonly #ends: readonly number[];
  readonly #inner: TokenConstraint | null;

  /** least: number of tokens before which none of `ends` is drawn · inner: what the answer is bound to besides */
  constructor(least: number, ends: readonly number[], inner: TokenConstraint | null) {
    this.#left = least;
    this.#ends = ends;
    this.#inner = inner;
  }

  mask(logits: Float32Array): void {
    this.#inner?.mask(logits);
    if (this.#left === 0) return;
    const kept = this.#ends.map((token) => logits[token]!);
    for (const token of this.#ends) if (token < logits.length) logits[token] = Number.NEGATIVE_INFINITY;
    if (this.#inner === null || logits.some((logit) => logit > Number.NEGATIVE_INFINITY)) return;
    // A grammar that is over leaves nothing but the end.
    for (const [index, token] of this.#ends.entries()) if (token < logits.length) logits[token] = kept[index]!;
  }

  advance(token: number): void {
    this.#inner?.advance(token);
    if (this.#left > 0) this.#left--;
  }

  fork(): LeastTokens {
    return new LeastTokens(this.#left, this.#ends, this.#inner?.fork() ?? null);
  }

  release(): void {
    this.#inner?.release?.();
  }
}
