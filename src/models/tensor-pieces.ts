/** @file The pieces of rows in which the tensors of a model are read, in the order in which they are loaded. */
import { TurboQuantError } from "../errors.ts";
import type { Checkpoint, TensorInfo } from "../formats/checkpoint.ts";
import type { ReadRange } from "../formats/read-ahead.ts";
import { weightFormat } from "../weights/registry.ts";
import { rowBytes } from "../weights/weight-format.ts";
import { sizeOf, type TensorSpec, type WeightRole } from "./blocks/block.ts";
import type { RowOrder } from "./blocks/row-order.ts";

/** A tensor as a matrix; vectors have one row, and several matrices lie one below the other. */
export interface StoredMatrix {
  readonly info: TensorInfo;
  readonly rows: number;
  readonly cols: number;
  /** Where its rows go; absent when they stay where they are. */
  readonly order?: RowOrder;
  /** See `TensorSpec.first`. */
  readonly first?: number;
  /** Rows of each of its matrices, if these are stored as [cols][rows]. */
  readonly transposedRows?: number;
}

export interface TensorPiece extends ReadRange {
  readonly firstRow: number;
  readonly rows: number;
}

/** @throws TurboQuantError invalid_file — absent, or neither vector, matrix nor several of one shape */
export async function storedMatrix(checkpoint: Checkpoint, name: string): Promise<StoredMatrix> {
  const info = await storedTensor(checkpoint, name);
  const { shape, file } = info;
  if (shape.length < 1 || shape.length > 3) {
    throw new TurboQuantError("invalid_file", `${file}: ${name}: expected 1 to 3 dimensions, got ${shape.length}`);
  }
  const cols = shape.at(-1)!;
  const rows = shape.slice(0, -1).reduce((product, size) => product * size, 1);
  return { info, rows, cols };
}

/** A tensor as a weight of this role takes it. @throws TurboQuantError invalid_file — absent, or of another shape */
export async function storedAs(checkpoint: Checkpoint, role: WeightRole, spec: TensorSpec): Promise<StoredMatrix> {
  const { name, shape, order, first, isTransposed } = spec;
  const info = await storedTensor(checkpoint, name);
  if (info.shape.length !== shape.length || info.shape.some((size, i) => size !== shape[i])) {
    throw new TurboQuantError("invalid_file", `${info.file}: ${name}: expected [${shape}], got [${info.shape}]`);
  }
  const size = sizeOf(spec);
  const length = size.rows * size.cols;
  // Biases stack like the rows they belong to.
  const [rows, cols] = role === "bias" ? [length, 1] : role === "norm" ? [1, length] : [size.rows, size.cols];
  const transposedRows = isTransposed ? { transposedRows: shape.at(-1)! } : {};
  return { info, rows, cols, ...(order && { order }), ...(first !== undefined && { first }), ...transposedRows };
}

async function storedTensor(checkpoint: Checkpoint, name: string): Promise<TensorInfo> {
  const info = (await checkpoint.tensors()).get(name);
  if (!info) {
    throw new TurboQuantError(
      "invalid_file",
      `${checkpoint.name}: tensor ${name} is missing; the checkpoint does not fit its config.json (or is an adapter)`,
      { tensor: name },
    );
  }
  return info;
}

/** Whole rows, or units of them that change places together or are stored by columns, as many as `pieceBytes` hold, and at least one. */
export function* piecesOf(
  { info, rows, cols, order, transposedRows }: StoredMatrix,
  pieceBytes: number,
): Generator<TensorPiece> {
  const bytes = rowBytes(weightFormat(info.dtype), cols);
  // A matrix that is stored by columns has no row before it is there as a whole.
  const unit = transposedRows ?? (order && rows > 1 ? order.unit : 1);
  const atOnce = unit * Math.max(1, Math.floor(pieceBytes / Math.max(1, bytes * unit)));
  for (let firstRow = 0; firstRow < rows; firstRow += atOnce) {
    const count = Math.min(atOnce, rows - firstRow);
    const [start, end] = [firstRow * bytes, (firstRow + count) * bytes];
    yield { tensor: info.name, start, end, firstRow, rows: count };
  }
}
