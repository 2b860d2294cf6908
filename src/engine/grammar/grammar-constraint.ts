/** @file Binds the tokens of one continuation to a grammar. */
import type { TokenConstraint } from "../token-constraint.ts";
import type { Address, GrammarModule } from "./grammar-module.ts";

const ALL = 0xffffffff;

/** Frees matchers whose constraint was forgotten without `release`. */
const forgotten = new FinalizationRegistry<{ readonly module: GrammarModule; readonly matcher: Address }>(
  ({ module, matcher }) => module.free(matcher),
);

export class GrammarConstraint implements TokenConstraint {
  readonly #module: GrammarModule;
  readonly #matcher: Address;
  readonly #vocabSize: number;
  #isReleased = false;
  #isOver = false;

  /** matcher: owned by this constraint from now on · vocabSize: of the tokenizer; logits may have more rows */
  constructor(module: GrammarModule, matcher: Address, vocabSize: number) {
    this.#module = module;
    this.#matcher = matcher;
    this.#vocabSize = vocabSize;
    forgotten.register(this, { module, matcher }, this);
  }

  mask(logits: Float32Array): void {
    const size = Math.min(this.#vocabSize, logits.length);
    const words = this.#module.mask(this.#matcher, Math.ceil(this.#vocabSize / 32));
    for (let word = 0; word * 32 < size; word++) {
      const bits = words[word]!;
      if (bits === ALL) continue;
      const start = word * 32;
      const end = Math.min(start + 32, size);
      if (bits === 0) logits.fill(Number.NEGATIVE_INFINITY, start, end);
      else
        for (let i = start; i < end; i++) if (((bits >>> (i - start)) & 1) === 0) logits[i] = Number.NEGATIVE_INFINITY;
    }
    logits.fill(Number.NEGATIVE_INFINITY, size);
  }

  advance(token: number): void {
    // Behind its end a text that goes on regardless (`ignoreEos`) is not bound any more than by its last mask.
    if (this.#isOver) return;
    this.#isOver = this.#module.isOver(this.#matcher);
    if (!this.#isOver) this.#module.advance(this.#matcher, token);
  }

  fork(): GrammarConstraint {
    const copy = new GrammarConstraint(this.#module, this.#module.fork(this.#matcher), this.#vocabSize);
    copy.#isOver = this.#isOver;
    return copy;
  }

  release(): void {
    if (this.#isReleased) return;
    this.#isReleased = true;
    forgotten.unregister(this);
    this.#module.free(this.#matcher);
  }
}
