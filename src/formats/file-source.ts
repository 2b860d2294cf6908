/** @file The interface of a set of named files with ranged reads: a directory, a URL, Blobs or memory. */

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
  read(file: string, start: number, end: number): Promise<Uint8Array>;
  close(): Promise<void>;
}

/** Reads a whole UTF-8 file. */
export async function readText(source: FileSource, file: string): Promise<string> {
  return new TextDecoder().decode(await source.read(file, 0, await source.size(file)));
}
