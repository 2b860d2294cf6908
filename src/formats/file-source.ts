/** @file The interface of a set of named files with ranged reads: a directory, a URL, Blobs or memory. */
import { TurboQuantError } from "../errors.ts";

export interface ReadOptions {
  /** Memory of the caller's, which several threads may share. A source may put the bytes there, if they fit, and return a view of it. */
  readonly into?: Uint8Array;
  /** Ends a read over the network early. A local one takes milliseconds and may be completed. */
  readonly signal?: AbortSignal;
}

export interface FileSource {
  /** The directory, URL or hub id, for messages. */
  readonly name: string;
  /** What the model is called where that is more than the end of `name`: a hub id, an embedded model. */
  readonly modelName?: string;
  /** The one GGUF file that was named as the model, where it was a file and not a folder; its name may end in any way. */
  readonly weights?: string;
  /** Which of several GGUF files is meant: a quantization, or null for the default. Absent where one alone is expected. */
  readonly quant?: string | null;
  /** Whether reads are calls of this machine's system, of which many small ones cost no more than few large ones. Default: false. */
  readonly isLocal?: boolean;
  /** Names of the files there are; absent where they cannot be listed. */
  list?(): Promise<readonly string[]>;
  has(file: string): Promise<boolean>;
  /** The content of a JSON file that was made and never was text; undefined for other files. */
  json?(file: string): unknown;
  /** Size in bytes. @throws TurboQuantError invalid_file when absent */
  size(file: string): Promise<number>;
  /** What differs when another file took this one's place, such as an ETag; null or absent where nobody says. */
  version?(file: string): Promise<string | null>;
  /** Bytes [start, end), which nobody changes unless they lie in `into`: they may be a view of what the source keeps. @throws TurboQuantError invalid_file when the file is shorter */
  read(file: string, start: number, end: number, options?: ReadOptions): Promise<Uint8Array>;
  close(): Promise<void>;
}

/**
 * The check that every source makes before it reads. advice: what to do about a file that is too short
 * @throws TurboQuantError invalid_argument — no range; invalid_file — the file ends before it
 */
export function checkRange(
  { name }: Pick<FileSource, "name">,
  file: string,
  [start, end]: readonly [start: number, end: number],
  size: number,
  advice = "copy or download it again",
): void {
  if (!(start >= 0 && start <= end)) {
    throw new TurboQuantError("invalid_argument", `${name}/${file}: expected a byte range, got [${start}, ${end})`);
  }
  if (end > size) throw tooShort({ name }, file, end, size, advice);
}

/** The error for a file that has `size` bytes where at least `expected` were asked for. */
export function tooShort(
  { name }: Pick<FileSource, "name">,
  file: string,
  expected: number,
  size: number,
  advice = "copy or download it again",
): TurboQuantError {
  return new TurboQuantError(
    "invalid_file",
    `${name}/${file}: expected at least ${expected} bytes, got ${size}; the file is truncated, ${advice}`,
    { file, expected, got: size },
  );
}

/** Reads a whole UTF-8 file. */
export async function readText(source: FileSource, file: string): Promise<string> {
  return new TextDecoder().decode(await source.read(file, 0, await source.size(file)));
}
