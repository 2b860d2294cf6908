/** @file The interface of a set of named files with ranged reads: a directory, a URL, Blobs or memory. */

export interface ReadOptions {
  /** Memory of the caller's. A source may put the bytes there, if they fit, and return a view of it. */
  readonly into?: Uint8Array<ArrayBuffer>;
  /** Ends a read over the network early. A local one takes milliseconds and may be completed. */
  readonly signal?: AbortSignal;
}

export interface FileSource {
  /** The directory, URL or hub id, for messages. */
  readonly name: string;
  /** What the model is called where that is more than the end of `name`: a hub id, an embedded model. */
  readonly modelName?: string;
  /** The one file that was named as the model, where it was a file and not a folder. */
  readonly weights?: string;
  /** Names of the files there are; absent where they cannot be listed. */
  list?(): Promise<readonly string[]>;
  has(file: string): Promise<boolean>;
  /** Size in bytes. @throws TurboQuantError invalid_file when absent */
  size(file: string): Promise<number>;
  /** Bytes [start, end). @throws TurboQuantError invalid_file when the file is shorter */
  read(file: string, start: number, end: number, options?: ReadOptions): Promise<Uint8Array>;
  close(): Promise<void>;
}

/** Reads a whole UTF-8 file. */
export async function readText(source: FileSource, file: string): Promise<string> {
  return new TextDecoder().decode(await source.read(file, 0, await source.size(file)));
}
