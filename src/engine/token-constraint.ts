/** @file Which tokens may follow, decided token by token: a grammar, a schema, a list of choices. */

/** Its rows are drawn on the host, which masks their logits before it draws. */
export interface TokenConstraint {
  /**
   * Sets the logits of tokens that must not follow to −Infinity; at least one has to stay.
   * logits: [vocabSize], with biases and penalties, before temperature
   */
  mask(logits: Float32Array): void;
  /** A token was drawn. */
  advance(token: number): void;
  /** A copy that goes its own way: each continuation of a prompt has one. */
  fork(): TokenConstraint;
}
