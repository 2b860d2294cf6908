/** @file The files of a file dialog, and those that were dropped on the page, folders with all that is in them. */
import type { PickedFile } from "./folder.ts";

/** More than any checkpoint has; a home folder that was dropped by mistake is not walked to its end. */
const MAX_FILES = 5000;

export const pickedFiles = (files: Iterable<File>): PickedFile<File>[] =>
  Array.from(files, (file) => ({ path: file.webkitRelativePath || file.name, file }));

export const hasFiles = (transfer: DataTransfer | null): boolean => transfer?.types.includes("Files") ?? false;

/** Must be called while the drop is handled: afterwards the browser has forgotten the items. */
export async function droppedFiles(transfer: DataTransfer): Promise<PickedFile<File>[]> {
  const items = Array.from(transfer.items).filter(({ kind }) => kind === "file");
  const entries = items.map((item) => item.webkitGetAsEntry() ?? item.getAsFile());
  const files: PickedFile<File>[] = [];
  for (const entry of entries) {
    if (entry instanceof File) files.push({ path: entry.name, file: entry });
    else if (entry) await walk(entry, files);
  }
  return files;
}

async function walk(entry: FileSystemEntry, files: PickedFile<File>[]): Promise<void> {
  if (files.length >= MAX_FILES) return;
  if (entry.isFile) {
    const file = await new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject));
    files.push({ path: entry.fullPath.replace(/^\//, ""), file });
    return;
  }
  const reader = (entry as FileSystemDirectoryEntry).createReader();
  // A reader hands out a hundred entries at a time, and none at the end.
  for (;;) {
    const some = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
    if (some.length === 0) return;
    for (const inner of some) await walk(inner, files);
  }
}
