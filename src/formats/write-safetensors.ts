/** @file Writes small safetensors files, for calibrations, tools and tests. */
import { TurboQuantError } from "../errors.ts";
import { weightFormat } from "../weights/registry.ts";
import { matrixBytes } from "../weights/weight-format.ts";
import { DTYPES, type StoredDtype } from "./safetensors-header.ts";

const SPELLINGS = new Map<string, string>(Object.entries(DTYPES).map(([spelling, dtype]) => [dtype, spelling]));

export interface TensorToWrite {
  readonly dtype: StoredDtype;
  readonly shape: readonly number[];
  /** Little endian, row-major. */
  readonly data: Uint8Array;
}

/**
 * The bytes of a safetensors file with these tensors. The data begins at a multiple of 8.
 * @throws TurboQuantError invalid_argument — bytes and shape differ
 */
export function writeSafetensors(
  tensors: Readonly<Record<string, TensorToWrite>>,
  metadata?: Readonly<Record<string, string>>,
): Uint8Array {
  const header: Record<string, unknown> = metadata ? { __metadata__: metadata } : {};
  let dataBytes = 0;
  for (const [name, { dtype, shape, data }] of Object.entries(tensors)) {
    const numValues = shape.reduce((product, dim) => product * dim, 1);
    const expected = matrixBytes(weightFormat(dtype), 1, numValues);
    if (data.length !== expected) {
      throw new TurboQuantError(
        "invalid_argument",
        `writeSafetensors: ${name}: expected ${expected} bytes for ${dtype} [${shape}], got ${data.length}`,
      );
    }
    header[name] = { dtype: SPELLINGS.get(dtype), shape, data_offsets: [dataBytes, dataBytes + data.length] };
    dataBytes += data.length;
  }
  const json = new TextEncoder().encode(JSON.stringify(header));
  const headerBytes = Math.ceil(json.length / 8) * 8;
  const file = new Uint8Array(8 + headerBytes + dataBytes);
  new DataView(file.buffer).setUint32(0, headerBytes, true);
  file.fill(0x20, 8, 8 + headerBytes);
  file.set(json, 8);
  let at = 8 + headerBytes;
  for (const { data } of Object.values(tensors)) {
    file.set(data, at);
    at += data.length;
  }
  return file;
}
