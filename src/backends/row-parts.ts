/** @file Equal parts of rows that get another width. */

/** Parts of `width` values, one behind the other from column `first` on, of rows of `stride` values. */
export interface RowParts {
  readonly first: number;
  readonly width: number;
  readonly stride: number;
}
