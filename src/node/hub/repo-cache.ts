/**
 * @file A repository's folder in the cache that the hub's tools share: `blobs/` by hash, `snapshots/COMMIT/` of links to them, and
 * `refs/REVISION` with the commit of each branch (huggingface.co/docs/hub/local-cache).
 */
import { randomUUID } from "node:crypto";
import { mkdir, readdir, readFile, rename, rm, stat, symlink, writeFile } from "node:fs/promises";
import { basename, dirname, join, relative } from "node:path";
import { isSafeFileName } from "../../formats/safe-file-name.ts";
import type { StoredFile } from "./choose-files.ts";

const PREFIX = "models--";
/** The hub's own paths have no more folders. */
const MAX_LEVELS = 8;

export class RepoCache {
  readonly repo: string;
  readonly cacheDir: string;
  readonly folder: string;

  constructor(cacheDir: string, repo: string) {
    this.repo = repo;
    this.cacheDir = cacheDir;
    this.folder = join(cacheDir, PREFIX + repo.replaceAll("/", "--"));
  }

  blob(hash: string): string {
    return join(this.folder, "blobs", hash);
  }

  snapshot(commit: string): string {
    return join(this.folder, "snapshots", commit);
  }

  /** Held while a blob is downloaded. */
  lock(hash: string): string {
    return join(this.cacheDir, ".locks", basename(this.folder), `${hash}.turboquant`);
  }

  /** The commit that a branch or tag had when it was last pulled; a commit is its own. Null when it was not. */
  async commitOf(revision: string): Promise<string | null> {
    if (!isSafeFileName(revision)) return null;
    const text = await readFile(join(this.folder, "refs", revision), "utf8").catch(() => revision);
    const commit = text.trim();
    return isSafeFileName(commit) && (await isDirectory(this.snapshot(commit))) ? commit : null;
  }

  /** Written when all files are there, so that the name of a revision refers to a whole snapshot. */
  async setCommit(revision: string, commit: string): Promise<void> {
    if (revision === commit) return;
    const file = join(this.folder, "refs", revision);
    await mkdir(dirname(file), { recursive: true });
    const temporary = `${file}.${randomUUID()}.tmp`;
    await writeFile(temporary, commit);
    await rename(temporary, file);
  }

  /** Commits of which files are there, the latest first. */
  async commits(): Promise<string[]> {
    const folder = join(this.folder, "snapshots");
    const names = await readdir(folder).catch(() => []);
    const dated = await Promise.all(
      names.map(async (name) => ({ name, time: (await stat(join(folder, name)).catch(() => null))?.mtimeMs ?? 0 })),
    );
    return dated.sort((a, b) => b.time - a.time).map(({ name }) => name);
  }

  /** Branches and tags with their commits. */
  async refs(): Promise<Map<string, string>> {
    const folder = join(this.folder, "refs");
    const found = new Map<string, string>();
    for (const { path } of await filesBelow(folder, MAX_LEVELS)) {
      found.set(path, (await readFile(join(folder, path), "utf8").catch(() => "")).trim());
    }
    return found;
  }

  /** The files of a snapshot, links followed; links to blobs that are gone are left out. */
  files(commit: string): Promise<StoredFile[]> {
    return filesBelow(this.snapshot(commit), MAX_LEVELS);
  }

  /** Puts a blob into a snapshot as a relative link. Where links are not allowed (Windows), the blob is moved there. */
  async link(hash: string, commit: string, path: string): Promise<void> {
    const blob = this.blob(hash);
    const link = join(this.snapshot(commit), path);
    await mkdir(dirname(link), { recursive: true });
    // A name of its own first: another process may link the same file, and readers see the old or the new one.
    const temporary = `${link}.${randomUUID()}.tmp`;
    try {
      await symlink(relative(dirname(link), blob), temporary);
      await rename(temporary, link);
    } catch (error) {
      await rm(temporary, { force: true });
      if (!["EPERM", "EACCES", "ENOSYS", "EOPNOTSUPP"].includes((error as NodeJS.ErrnoException).code ?? ""))
        throw error;
      await rename(blob, link);
    }
  }
}

/** The repositories of models in a cache, by name. */
export async function cachedRepos(cacheDir: string): Promise<RepoCache[]> {
  const names = await readdir(cacheDir).catch(() => []);
  return names
    .filter((name) => name.startsWith(PREFIX))
    .sort()
    .map((name) => new RepoCache(cacheDir, name.slice(PREFIX.length).replace("--", "/")));
}

/** Size of a file in bytes, links followed; -1 when it does not exist. */
export async function sizeOf(path: string): Promise<number> {
  return await stat(path).then(
    (info) => (info.isFile() ? info.size : -1),
    () => -1,
  );
}

const isDirectory = async (path: string): Promise<boolean> =>
  (await stat(path).catch(() => null))?.isDirectory() === true;

/** Paths and sizes of the files in a folder and `levels` of folders below, links followed; a limit, since links may form a circle. */
export async function filesBelow(folder: string, levels: number, prefix = ""): Promise<StoredFile[]> {
  const files: StoredFile[] = [];
  for (const { name } of await readdir(folder, { withFileTypes: true }).catch(() => [])) {
    const info = await stat(join(folder, name)).catch(() => null);
    if (info?.isFile()) files.push({ path: prefix + name, size: info.size });
    else if (info?.isDirectory() && levels > 0)
      files.push(...(await filesBelow(join(folder, name), levels - 1, `${prefix}${name}/`)));
  }
  return files.sort((a, b) => (a.path < b.path ? -1 : 1));
}
