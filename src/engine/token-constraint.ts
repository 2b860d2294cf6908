/** @file Decides token by token which tokens may follow, as needed for grammars, schemas and lists of choices. */

/** Rows with a constraint are drawn on the host, which masks their logits before it draws. */
export interface TokenConstraint {
  /**
   * Sets the logits of tokens that must not follow to −Infinity; at least one must remain.
   * logits: [vocabSize], with biases and penalties, before temperature
   */
  mask(logits: Float32Array): void;
  /** Called when a token was drawn. */
  advance(token: number): void;
  /** An independent copy; each continuation of a prompt has one. */
  fork(): TokenConstraint;
  /** Frees what it holds, when the continuation it was made for has ended. */
  release?(): void;
}
