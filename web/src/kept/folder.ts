/** @file The folders in which the page keeps files by itself: the origin's private file system, of which a browser tells nobody else. */

/** Null where the browser has none or forbids it: plain HTTP, private windows of some browsers, storage that the user denies. */
export async function keptFolder(name: "caches" | "models"): Promise<FileSystemDirectoryHandle | null> {
  try {
    const root = await navigator.storage.getDirectory();
    return await root.getDirectoryHandle(name, { create: true });
  } catch {
    return null;
  }
}

/** lib.dom has directories without their iterator. */
export const entriesOf = (folder: FileSystemDirectoryHandle): AsyncIterable<[string, FileSystemHandle]> =>
  (folder as unknown as { entries(): AsyncIterable<[string, FileSystemHandle]> }).entries();

export async function readFile(folder: FileSystemDirectoryHandle, name: string): Promise<File | null> {
  try {
    return await (await folder.getFileHandle(name)).getFile();
  } catch {
    return null;
  }
}

/** null where there is no such file, or no JSON in it. */
export async function readJson(folder: FileSystemDirectoryHandle, name: string): Promise<unknown> {
  try {
    return JSON.parse((await (await readFile(folder, name))?.text()) ?? "null");
  } catch {
    return null;
  }
}

/** Times and pause in which a file that the engine has just read is closed. */
const TRIES = 12;
const PAUSE_MS = 500;

/** What is there no longer needs no deletion; what is open is tried again. */
export async function removeEntry(folder: FileSystemDirectoryHandle, name: string): Promise<void> {
  for (let tries = 0; tries < TRIES; tries++) {
    try {
      await folder.removeEntry(name, { recursive: true });
      return;
    } catch (error) {
      if (!(error instanceof DOMException) || error.name !== "NoModificationAllowedError") return;
      await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
    }
  }
}

/** What lib.dom lacks, because only workers have it. */
export interface SyncFile {
  write(bytes: Uint8Array, options: { readonly at: number }): number;
  read(bytes: Uint8Array, options: { readonly at: number }): number;
  truncate(size: number): void;
  flush(): void;
  close(): void;
}

/** In a worker. @throws DOMException NoModificationAllowedError — it is open already, here or in another tab */
export async function openSyncFile(folder: FileSystemDirectoryHandle, name: string): Promise<SyncFile> {
  const file = (await folder.getFileHandle(name, { create: true })) as FileSystemFileHandle & {
    createSyncAccessHandle(): Promise<SyncFile>;
  };
  return file.createSyncAccessHandle();
}

/** Writes a whole file, in a worker. @throws DOMException QuotaExceededError, NoModificationAllowedError */
export async function writeFile(
  folder: FileSystemDirectoryHandle,
  name: string,
  parts: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): Promise<number> {
  const handle = await openSyncFile(folder, name);
  let at = 0;
  try {
    handle.truncate(0);
    for await (const part of parts) at += handle.write(part, { at });
    handle.flush();
  } finally {
    handle.close();
  }
  return at;
}
