/** @file Products of heads with rows of a matrix of their own, by which latent attention goes into the latent space and back. */

/**
 * A product of each head's vector with rows of a matrix that belong to the head: row i of head h is row headRows · h + first + i of
 * the matrix, for i < count.
 */
export interface HeadProduct {
  readonly numHeads: number;
  readonly headRows: number;
  readonly first: number;
  readonly count: number;
  /** Whether the head's rows are multiplied by the values of x and added up, instead of each being multiplied with x. */
  readonly isTransposed: boolean;
  /** Values of a head in x: those that the product takes, and others behind them, which follow its result as they are. */
  readonly inputWidth: number;
}

/** Values of a head in the result of a product with a matrix of so many columns. */
export const outputWidthOf = ({ isTransposed, inputWidth, count }: HeadProduct, cols: number): number =>
  isTransposed ? cols + inputWidth - count : count + inputWidth - cols;
