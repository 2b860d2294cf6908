/**
 * @file Caches of conversations that the browser keeps, each in three files: `ID.json` says of which model and format it is, `ID.tokens` has its
 * tokens, `ID.tqkv` is the cache. The description is written last and removed first, so that what was written by half is never taken for whole.
 */
import { specOfVersion2 } from "turboquant/cache";
import { isRecord } from "../ui/saved.ts";
import { entriesOf, keptFolder, readJson, removeEntry } from "./folder.ts";

export interface KeptCache {
  readonly conversation: string;
  /** The model's name, for people. */
  readonly model: string;
  readonly fingerprint: string;
  readonly kv: string;
  /** Of the snapshot, which says what `kv` means; absent in what pages wrote while that was 2. */
  readonly version?: number;
  readonly tokens: number;
  readonly numBytes: number;
  /** In ms since 1970. */
  readonly usedAt: number;
}

const EXTENSION = ".json";
const KINDS = [EXTENSION, ".tokens", ".tqkv"];

export const fileOf = (conversation: string, kind: ".json" | ".tokens" | ".tqkv"): string => conversation + kind;

const isKept = (value: unknown): value is KeptCache =>
  isRecord(value) &&
  ["conversation", "model", "fingerprint", "kv"].every((field) => typeof value[field] === "string") &&
  ["tokens", "numBytes", "usedAt"].every((field) => typeof value[field] === "number");

/** Those used last come first. */
export async function listKeptCaches(): Promise<KeptCache[]> {
  const folder = await keptFolder("caches");
  return folder ? listIn(folder) : [];
}

export async function listIn(folder: FileSystemDirectoryHandle): Promise<KeptCache[]> {
  const kept: KeptCache[] = [];
  for await (const [name] of entriesOf(folder)) {
    if (!name.endsWith(EXTENSION)) continue;
    const value = await readJson(folder, name);
    if (isKept(value) && name === fileOf(value.conversation, ".json")) kept.push(inTodaysWords(value));
  }
  return kept.sort((a, b) => b.usedAt - a.usedAt);
}

const inTodaysWords = (kept: KeptCache): KeptCache =>
  kept.version === undefined ? { ...kept, kv: specOfVersion2(kept.kv) } : kept;

export async function removeKeptCache(conversation: string): Promise<void> {
  const folder = await keptFolder("caches");
  if (folder) await removeIn(folder, conversation);
}

export async function removeIn(folder: FileSystemDirectoryHandle, conversation: string): Promise<void> {
  for (const kind of KINDS) await removeEntry(folder, conversation + kind);
}

/** Removes what belongs to no conversation any more. conversations: ids of all that there are */
export async function removeOrphans(conversations: ReadonlySet<string>): Promise<void> {
  const folder = await keptFolder("caches");
  if (!folder) return;
  const orphans = new Set<string>();
  for await (const [name] of entriesOf(folder)) {
    const id = name.slice(0, name.lastIndexOf("."));
    if (!conversations.has(id)) orphans.add(id);
  }
  for (const id of orphans) await removeIn(folder, id);
}
