/** @file A model on the hub, read by ranges without downloading it: for plans and headers. */
import { TurboQuantError } from "../../errors.ts";
import { checkRange, type FileSource } from "../../formats/file-source.ts";
import { HttpSource } from "../../formats/http-source.ts";
import { type HubId, hubName } from "../../formats/hub-id.ts";
import { type ChosenFiles, chooseFiles } from "./choose-files.ts";
import { BrokenTransfer, type HubClient } from "./hub-client.ts";
import { hubSettings } from "./hub-settings.ts";
import { clientOf, type HubOptions, offline } from "./pull-model.ts";
import { fileUrl, hubError, type RemoteFile, readRepository } from "./repository.ts";

/** The first request for a file takes so many bytes, so that small files and most headers of safetensors need no second one. */
const HEAD_BYTES = 256 * 1024;
/** What is kept of a file's beginning; headers of GGUF files are read again in growing pieces, and go on from what is there. */
const MAX_HEAD_BYTES = 64 * 1024 * 1024;

/** What a model on the hub consists of, and its bytes on demand. */
export interface RemoteModel {
  readonly source: FileSource;
  readonly name: string;
  readonly commit: string;
  readonly chosen: ChosenFiles<RemoteFile>;
}

/** @throws TurboQuantError — as `pullModel` */
export async function openRemoteModel(id: HubId, options: HubOptions = {}): Promise<RemoteModel> {
  const settings = options.settings ?? (await hubSettings());
  if (settings.isOffline) throw offline(id, settings);
  const client = clientOf(settings, options);
  const { commit, files } = await readRepository(client, settings, id);
  const explain = (error: unknown): unknown => (options.signal?.aborted ? error : hubError(error, id, settings));
  const read = async (file: RemoteFile, start: number, end: number): Promise<Uint8Array> => {
    if (start === end) return new Uint8Array(0);
    const url = fileUrl(settings, id.repo, commit, file.path);
    return await readRange(client, url, start, end).catch((error) => Promise.reject(explain(error)));
  };
  const chosen = await chooseFiles(id, files, async (file) => new TextDecoder().decode(await read(file, 0, file.size)));
  const name = hubName({ ...id, quant: id.file === null ? chosen.quant : null });
  return { source: new RemoteSource(name, chosen, read), name, commit, chosen };
}

async function readRange(client: HubClient, url: string, start: number, end: number): Promise<Uint8Array> {
  return await client.repeat(() =>
    client.open(url, { Range: `bytes=${start}-${end - 1}` }, async ({ response, chunks }) => {
      // A server without ranges sends the file from its beginning; the rest is given up.
      let skip = response.status === 206 ? 0 : start;
      const bytes = new Uint8Array(end - start);
      let done = 0;
      for await (const chunk of chunks) {
        const part = chunk.subarray(Math.min(skip, chunk.length));
        skip -= chunk.length - part.length;
        const taken = part.subarray(0, bytes.length - done);
        bytes.set(taken, done);
        done += taken.length;
        if (done === bytes.length) return bytes;
      }
      throw new BrokenTransfer(`it sent ${done} of ${bytes.length} bytes`);
    }),
  );
}

/** Whether each read of a source may be a request over the network. */
export const isRemote = (source: FileSource): boolean => source instanceof RemoteSource || source instanceof HttpSource;

class RemoteSource implements FileSource {
  readonly name: string;
  readonly modelName: string;
  readonly weights?: string;
  readonly #files: ReadonlyMap<string, RemoteFile>;
  readonly #read: (file: RemoteFile, start: number, end: number) => Promise<Uint8Array>;
  readonly #heads = new Map<string, Promise<Uint8Array>>();

  constructor(
    name: string,
    { files, weights }: ChosenFiles<RemoteFile>,
    read: (file: RemoteFile, start: number, end: number) => Promise<Uint8Array>,
  ) {
    this.name = name;
    this.modelName = name;
    // A split file in a folder of its own is named without the folder, as in the folder itself.
    const folder = weights?.slice(0, weights.lastIndexOf("/") + 1) ?? "";
    if (weights !== null) this.weights = weights.slice(folder.length);
    const below = files.filter(({ path }) => path.startsWith(folder));
    this.#files = new Map(below.map((file) => [file.path.slice(folder.length), file]));
    this.#read = read;
  }

  async list(): Promise<string[]> {
    return [...this.#files.keys()];
  }

  async has(file: string): Promise<boolean> {
    return this.#files.has(file);
  }

  async size(file: string): Promise<number> {
    return this.#require(file).size;
  }

  async read(file: string, start: number, end: number): Promise<Uint8Array> {
    const stored = this.#require(file);
    checkRange(this, file, [start, end], stored.size, "take another one");
    const head = Math.min(HEAD_BYTES, stored.size);
    const isOfHead = end <= head || (start === 0 && end <= MAX_HEAD_BYTES);
    return isOfHead
      ? (await this.#head(stored, Math.max(head, end))).slice(start, end)
      : this.#read(stored, start, end);
  }

  /** At least the first `length` bytes, of which those that are missing are asked for. */
  #head(stored: RemoteFile, length: number): Promise<Uint8Array> {
    const before = this.#heads.get(stored.path) ?? Promise.resolve(new Uint8Array(0));
    const head = before.then(async (bytes) => {
      if (bytes.length >= length) return bytes;
      const longer = new Uint8Array(length);
      longer.set(bytes);
      longer.set(await this.#read(stored, bytes.length, length), bytes.length);
      return longer;
    });
    this.#heads.set(stored.path, head);
    head.catch(() => this.#heads.delete(stored.path));
    return head;
  }

  async close(): Promise<void> {
    this.#heads.clear();
  }

  #require(file: string): RemoteFile {
    const found = this.#files.get(file);
    if (found) return found;
    throw new TurboQuantError("invalid_file", `${this.name}/${file}: not in the repository; take another one`, {
      file,
    });
  }
}
