/** @file A folder of the origin's private file system in memory: files with one writer at a time, as browsers have them. */
class MemoryFile {
  readonly kind = "file";
  #bytes = new Uint8Array(0);
  #isOpen = false;

  getFile = async () => new File([this.#bytes], "file");

  createSyncAccessHandle = async () => {
    if (this.#isOpen) throw new DOMException("it is open already", "NoModificationAllowedError");
    this.#isOpen = true;
    return {
      read: (into: Uint8Array, { at }: { readonly at: number }) => {
        const bytes = this.#bytes.subarray(at, at + into.length);
        into.set(bytes);
        return bytes.length;
      },
      write: (from: Uint8Array, { at }: { readonly at: number }) => {
        const grown = new Uint8Array(Math.max(this.#bytes.length, at + from.length));
        grown.set(this.#bytes);
        grown.set(from, at);
        this.#bytes = grown;
        return from.length;
      },
      truncate: (size: number) => {
        this.#bytes = this.#bytes.slice(0, size);
      },
      flush() {},
      close: () => {
        this.#isOpen = false;
      },
    };
  };
}

class MemoryFolder {
  readonly kind = "directory";
  readonly #entries = new Map<string, MemoryFile | MemoryFolder>();

  #get<T extends MemoryFile | MemoryFolder>(name: string, isNew: boolean | undefined, make: () => T): T {
    if (!this.#entries.has(name)) {
      if (!isNew) throw new DOMException(`no ${name}`, "NotFoundError");
      this.#entries.set(name, make());
    }
    return this.#entries.get(name) as T;
  }

  getFileHandle = async (name: string, { create }: { readonly create?: boolean } = {}) =>
    this.#get(name, create, () => new MemoryFile());

  getDirectoryHandle = async (name: string, { create }: { readonly create?: boolean } = {}): Promise<MemoryFolder> =>
    this.#get(name, create, () => new MemoryFolder());

  removeEntry = async (name: string) => void this.#entries.delete(name);

  async *entries() {
    yield* this.#entries;
  }
}

/** A `navigator` of a browser that keeps files for the page. */
export function navigatorWithFiles() {
  const root = new MemoryFolder();
  return { storage: { getDirectory: async () => root } };
}
