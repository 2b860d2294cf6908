/**
 * @file A model from the web whose parts are kept in the browser as they are read: nothing is fetched twice, a load that was cut goes on
 * where it ended if the files are still the same, and a model that was loaded once opens without a network.
 *
 * A file is written by one tab at a time, and read by any number of them.
 */
import { type FileSource, TurboQuantError } from "turboquant";
import { keptFolder, openSyncFile, type SyncFile, writeFile } from "../kept/folder.ts";
import {
  DESCRIPTION,
  type KeptFile,
  type KeptModel,
  PART_BYTES,
  readDescription,
  removeKeptModel,
  storedNameOf,
} from "../kept/kept-models.ts";

/** The most parts of one request: what is lost when a connection breaks. */
const PARTS_A_REQUEST = 8;
/** The description is written after so many parts, and when the source is closed. */
const PARTS_A_NOTE = 32;
/** Files that are written are closed when nothing was read for so long, so that another tab can open them. */
const IDLE_MS = 2000;

interface OpenFile extends Omit<KeptFile, "parts"> {
  readonly name: string;
  readonly parts: Uint8Array;
  /** Parts that were stored since the description was written. */
  readonly unnoted: Set<number>;
  readonly pending: Map<number, Promise<Uint8Array>>;
}

type ReadOptions = Parameters<FileSource["read"]>[3];

export class StoredSource implements FileSource {
  readonly name: string;
  readonly modelName?: string;
  readonly weights?: string;
  readonly quant?: string | null;
  readonly #ref: string;
  readonly #remote: FileSource;
  readonly #folder: FileSystemDirectoryHandle;
  readonly #files = new Map<string, Promise<OpenFile>>();
  readonly #handles = new Map<string, Promise<SyncFile>>();
  readonly #known: KeptModel | null;
  readonly #absent: Set<string>;
  #list: readonly string[] | null;
  #isWhole: boolean;
  /** Whether a load was found whole since the description was written. */
  #isNewlyWhole = false;
  #noting: Promise<void> = Promise.resolve();
  #idle: ReturnType<typeof setTimeout> | null = null;
  /** Set when the storage is full or written by another tab; from then on everything comes from the web. */
  #isBroken = false;

  private constructor(ref: string, remote: FileSource, folder: FileSystemDirectoryHandle, known: KeptModel | null) {
    this.#ref = ref;
    this.#remote = remote;
    this.#folder = folder;
    this.#known = known;
    this.#absent = new Set(known?.absent);
    this.#list = known?.list ?? null;
    this.#isWhole = known?.isWhole ?? false;
    this.name = remote.name;
    if (remote.modelName !== undefined) this.modelName = remote.modelName;
    if (remote.weights !== undefined) this.weights = remote.weights;
    if (remote.quant !== undefined) this.quant = remote.quant;
  }

  /** The source itself where the browser keeps nothing. ref: what names the model */
  static async over(ref: string, remote: FileSource): Promise<FileSource> {
    const models = await keptFolder("models");
    if (!models) return remote;
    let opened = await openStored(models, ref).catch(() => null);
    const isOld = opened?.known && !opened.known.isWhole && !(await areOnServer(opened.known.files, remote));
    if (isOld) {
      // Half of a file and the other half of the one that took its place are none.
      await removeKeptModel(ref);
      opened = await openStored(models, ref).catch(() => null);
      // Another tab is still writing it.
      if (opened?.known) return remote;
    }
    return opened ? new StoredSource(ref, remote, opened.folder, opened.known) : remote;
  }

  async list(): Promise<readonly string[]> {
    if (!this.#list || (this.#list.length === 0 && !this.#isWhole)) this.#list = (await this.#remote.list?.()) ?? [];
    return this.#list;
  }

  async has(file: string): Promise<boolean> {
    if (this.#known?.files[file]) return true;
    if (this.#isWhole && this.#absent.has(file)) return false;
    const isThere = await this.#remote.has(file).catch((error: unknown) => {
      // Without a network, what was not needed before is not needed now.
      if (this.#isWhole) return false;
      throw error;
    });
    if (!isThere) this.#absent.add(file);
    return isThere;
  }

  async size(file: string): Promise<number> {
    return (await this.#open(file)).size;
  }

  async read(file: string, start: number, end: number, options: ReadOptions = {}): Promise<Uint8Array> {
    const opened = await this.#open(file);
    const isInside = start >= 0 && start <= end && end <= opened.size;
    if (this.#isBroken || !isInside) return this.#remote.read(file, start, end, options);
    const [first, last] = [Math.floor(start / PART_BYTES), Math.ceil(end / PART_BYTES)];
    const { into } = options;
    const bytes = into && into.length >= end - start ? into.subarray(0, end - start) : new Uint8Array(end - start);
    const put = (at: number, part: Uint8Array): void => {
      const from = Math.max(start, at);
      const to = Math.min(end, at + part.length);
      if (to > from) bytes.set(part.subarray(from - at, to - at), from - start);
    };
    const waits: Promise<void>[] = [];
    let next = first;
    while (next < last) {
      const part = next++;
      const at = part * PART_BYTES;
      const pending = opened.pending.get(part);
      if (opened.parts[part] === 1) {
        while (next < last && opened.parts[next] === 1) next++;
        const from = Math.max(at, start);
        const to = Math.min(next * PART_BYTES, end);
        waits.push(this.#readKept(opened, from, to, options.signal).then((kept) => put(from, kept)));
      } else if (pending) {
        waits.push(pending.then((own) => put(at, own)));
      } else {
        while (next < last && next - part < PARTS_A_REQUEST && !opened.parts[next] && !opened.pending.has(next)) next++;
        waits.push(this.#fetch(opened, [part, next], options.signal).then((own) => put(at, own)));
      }
    }
    await Promise.all(waits);
    return bytes;
  }

  /** A load has everything that it needs. */
  async markWhole(): Promise<void> {
    this.#isWhole = true;
    this.#isNewlyWhole = true;
    await this.#note();
  }

  async close(): Promise<void> {
    await this.#note();
    await this.#closeFiles();
    await this.#remote.close();
  }

  #open(file: string): Promise<OpenFile> {
    let opened = this.#files.get(file);
    if (!opened) {
      opened = this.#openOnce(file);
      this.#files.set(file, opened);
      opened.catch(() => this.#files.delete(file));
    }
    return opened;
  }

  async #openOnce(file: string): Promise<OpenFile> {
    const known = this.#known?.files[file];
    if (known) {
      const parts = Uint8Array.from(known.parts, (letter) => Number(letter));
      return { ...known, name: file, parts, unnoted: new Set(), pending: new Map() };
    }
    const size = await this.#remote.size(file);
    const version = (await this.#remote.version?.(file)) ?? null;
    const parts = new Uint8Array(Math.ceil(size / PART_BYTES));
    const part = `${await storedNameOf(file)}.part`;
    return { name: file, part, size, version, parts, unnoted: new Set(), pending: new Map() };
  }

  /** What is kept, or the same from the web where that cannot be read. */
  async #readKept(opened: OpenFile, start: number, end: number, signal: AbortSignal | undefined): Promise<Uint8Array> {
    try {
      const bytes = await this.#readStored(opened, start, end);
      if (bytes.length === end - start) return bytes;
      throw new RangeError("the file is shorter than its description says");
    } catch {
      return this.#remote.read(opened.name, start, end, signal ? { signal } : {}).catch((cause: unknown) => {
        if (cause instanceof DOMException && cause.name === "AbortError") throw cause;
        throw new TurboQuantError(
          "invalid_file",
          `${this.name}/${opened.name}: what this browser keeps of it cannot be read, and it cannot be fetched again; check the connection, or delete the model in the list of models`,
          { file: opened.name },
          { cause },
        );
      });
    }
  }

  /** Through the file that this source writes, or else as one of many readers. */
  async #readStored({ part }: OpenFile, start: number, end: number): Promise<Uint8Array> {
    const handle = await this.#handles.get(part);
    if (!handle) {
      const file = await (await this.#folder.getFileHandle(part)).getFile();
      return new Uint8Array(await file.slice(start, end).arrayBuffer());
    }
    const bytes = new Uint8Array(end - start);
    const count = handle.read(bytes, { at: start });
    this.#touch();
    return bytes.subarray(0, count);
  }

  async #fetch(
    opened: OpenFile,
    [first, last]: readonly [number, number],
    signal: AbortSignal | undefined,
  ): Promise<Uint8Array> {
    const at = first * PART_BYTES;
    const end = Math.min(last * PART_BYTES, opened.size);
    const request = this.#remote.read(opened.name, at, end, signal ? { signal } : {});
    for (let part = first; part < last; part++) {
      const from = (part - first) * PART_BYTES;
      const own = request.then((bytes) => bytes.subarray(from, from + PART_BYTES));
      opened.pending.set(part, own);
      own.catch(() => opened.pending.delete(part));
    }
    const bytes = await request;
    await this.#store(opened, [first, last], bytes);
    for (let part = first; part < last; part++) opened.pending.delete(part);
    return bytes;
  }

  async #store(opened: OpenFile, [first, last]: readonly [number, number], bytes: Uint8Array): Promise<void> {
    if (this.#isBroken) return;
    try {
      (await this.#handle(opened.part)).write(bytes, { at: first * PART_BYTES });
      opened.parts.fill(1, first, last);
      for (let part = first; part < last; part++) opened.unnoted.add(part);
      if (opened.unnoted.size >= PARTS_A_NOTE) await this.#note();
      this.#touch();
    } catch {
      // The model is loaded all the same, and fetched again the next time.
      this.#isBroken = true;
    }
  }

  #handle(part: string): Promise<SyncFile> {
    let handle = this.#handles.get(part);
    if (!handle) {
      handle = openSyncFile(this.#folder, part);
      this.#handles.set(part, handle);
      handle.catch(() => this.#handles.delete(part));
    }
    return handle;
  }

  #note(): Promise<void> {
    this.#noting = this.#noting.then(() => this.#noteNow());
    return this.#noting;
  }

  /**
   * Adds what was stored since to what the description says by now, where another tab may have added something. A source that has only read
   * leaves it as it is. What is written is flushed before it is said to be there.
   */
  async #noteNow(): Promise<void> {
    const opened = await Promise.all([...this.#files.values()].map((file) => file.catch(() => null)));
    const stored = opened.flatMap((file) => (file ? [{ file, added: [...file.unnoted] }] : []));
    if (this.#isBroken || !(this.#isNewlyWhole || stored.some(({ added }) => added.length > 0))) return;
    for (const handle of this.#handles.values()) (await handle.catch(() => null))?.flush();
    const found = await readDescription(this.#folder);
    const files: Record<string, KeptFile> = { ...found?.files };
    for (const { file, added } of stored) {
      const { name, part, size, version } = file;
      const before = files[name] ?? { part, size, version, parts: "0".repeat(file.parts.length) };
      // What takes the place of this file is another tab's.
      if (before.part !== part || before.size !== size || before.version !== version) continue;
      const parts = [...before.parts];
      for (const index of added) parts[index] = "1";
      files[name] = { ...before, parts: parts.join("") };
    }
    const model: KeptModel = {
      ...{ ref: this.#ref, files, list: this.#list ?? found?.list ?? null },
      absent: [...new Set([...(found?.absent ?? []), ...this.#absent])],
      ...{ isWhole: this.#isWhole || (found?.isWhole ?? false), usedAt: Date.now() },
    };
    try {
      await writeFile(this.#folder, DESCRIPTION, [new TextEncoder().encode(JSON.stringify(model))]);
      this.#isNewlyWhole = false;
      for (const { file, added } of stored) for (const part of added) file.unnoted.delete(part);
    } catch {
      // The next note says it.
    }
  }

  #touch(): void {
    if (this.#idle !== null) clearTimeout(this.#idle);
    this.#idle = setTimeout(() => void this.#note().then(() => this.#closeFiles()), IDLE_MS);
  }

  async #closeFiles(): Promise<void> {
    if (this.#idle !== null) clearTimeout(this.#idle);
    const handles = [...this.#handles.values()];
    this.#handles.clear();
    for (const handle of handles) (await handle.catch(() => null))?.close();
  }
}

async function openStored(
  models: FileSystemDirectoryHandle,
  ref: string,
): Promise<{ readonly folder: FileSystemDirectoryHandle; readonly known: KeptModel | null }> {
  const folder = await models.getDirectoryHandle(await storedNameOf(ref), { create: true });
  return { folder, known: await readDescription(folder) };
}

/** Whether all files are on the server as they were when a part of them was kept. */
async function areOnServer(files: KeptModel["files"], remote: FileSource): Promise<boolean> {
  const same = Object.entries(files).map(
    async ([name, { size, version }]) =>
      (await remote.has(name)) &&
      (await remote.size(name)) === size &&
      ((await remote.version?.(name)) ?? null) === version,
  );
  return (await Promise.all(same)).every(Boolean);
}
