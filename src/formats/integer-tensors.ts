/**
 * @file Tensors of whole numbers that stand for themselves, such as tables of token or expert numbers, read as f32. Those that are parts of quantized
 * weights are their scheme's.
 */
import type { TensorInfo, TensorSet } from "./checkpoint.ts";
import type { FileSource } from "./file-source.ts";
import { schemes } from "./quantized/schemes.ts";
import type { StoredTensor } from "./safetensors-header.ts";

const BYTES: Readonly<Record<string, 4 | 8>> = { I32: 4, I64: 8 };
/** The last parts of the names of what belongs to quantized weights. */
const PARTS = new Set(schemes.flatMap(({ parts }) => parts));

const isTable = ({ name, stored }: StoredTensor): boolean =>
  BYTES[stored] !== undefined && !PARTS.has(name.slice(name.lastIndexOf(".") + 1));

/** Splits the tensors of a checkpoint into tables of whole numbers and all others. */
export function splitTables(stored: readonly StoredTensor[]) {
  return { tables: stored.filter(isTable), others: stored.filter((tensor) => !isTable(tensor)) };
}

/** The set with tables of whole numbers beside it. Numbers of more than 24 bits are rounded. */
export function withTables(set: TensorSet, source: FileSource, tables: readonly StoredTensor[]): TensorSet {
  if (tables.length === 0) return set;
  const own = new Map(tables.map((table) => [table.name, table]));
  const tensors = new Map<string, TensorInfo>(set.tensors);
  for (const { name, stored, shape, numBytes, file } of tables)
    tensors.set(name, { name, shape, file, dtype: "f32", numBytes: (4 * numBytes) / BYTES[stored]!, isFinite: true });
  return {
    ...set,
    tensors,
    async read(name, start = 0, end, options) {
      const table = own.get(name);
      if (!table) return set.read(name, start, end, options);
      const size = BYTES[table.stored]!;
      const [from, to] = [start, end ?? (4 * table.numBytes) / size].map((at) => table.offset + (at / 4) * size);
      const bytes = await source.read(table.file, from!, to!, options?.signal ? { signal: options.signal } : {});
      const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
      const valueAt = (at: number): number =>
        size === 4 ? view.getInt32(at, true) : Number(view.getBigInt64(at, true));
      return new Uint8Array(Float32Array.from({ length: bytes.byteLength / size }, (_, i) => valueAt(i * size)).buffer);
    },
  };
}
