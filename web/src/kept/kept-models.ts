/** @file Models from the web that the browser keeps, each in a folder: what is known of its files, and of each file the parts that were fetched. */
import { isRecord } from "../ui/saved.ts";
import { entriesOf, keptFolder, readJson, removeEntry } from "./folder.ts";

/** What is kept of one file. */
export interface KeptFile {
  /** The name under which its parts are stored beside the description. */
  readonly part: string;
  readonly size: number;
  /** Of the file on the server, where it says one. */
  readonly version: string | null;
  /** A letter for each part of `PART_BYTES`: 1 when it is there. */
  readonly parts: string;
}

export interface KeptModel {
  /** The address or the name on the hub, as it was asked for. */
  readonly ref: string;
  readonly files: Readonly<Record<string, KeptFile>>;
  /** Names of all files, where the server lists them. */
  readonly list: readonly string[] | null;
  /** Files that were looked for and are not there. */
  readonly absent: readonly string[];
  /** Whether a load has found everything that it needs. */
  readonly isWhole: boolean;
  /** In ms since 1970. */
  readonly usedAt: number;
}

export const PART_BYTES = 1 << 20;
export const DESCRIPTION = "model.json";

const isModel = (value: unknown): value is KeptModel =>
  isRecord(value) && typeof value["ref"] === "string" && isRecord(value["files"]) && Array.isArray(value["absent"]);

/** A name of a folder or a file for any address. */
export async function storedNameOf(ref: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(ref));
  return Array.from(new Uint8Array(digest).subarray(0, 12), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export async function readDescription(folder: FileSystemDirectoryHandle): Promise<KeptModel | null> {
  const value = await readJson(folder, DESCRIPTION);
  return isModel(value) ? value : null;
}

export const keptBytes = ({ files }: KeptModel): number =>
  Object.values(files).reduce((sum, { size, parts }) => sum + Math.min(size, count(parts) * PART_BYTES), 0);

const count = (parts: string): number => parts.split("1").length - 1;

/** Those used last come first. */
export async function listKeptModels(): Promise<KeptModel[]> {
  const folder = await keptFolder("models");
  const models: KeptModel[] = [];
  if (!folder) return models;
  for await (const [, handle] of entriesOf(folder)) {
    if (handle.kind !== "directory") continue;
    const model = await readDescription(handle as FileSystemDirectoryHandle);
    if (model) models.push(model);
  }
  return models.sort((a, b) => b.usedAt - a.usedAt);
}

export async function removeKeptModel(ref: string): Promise<void> {
  const folder = await keptFolder("models");
  if (folder) await removeEntry(folder, await storedNameOf(ref));
}

/** Whether a model opens without fetching anything. */
export async function isKeptWhole(ref: string): Promise<boolean> {
  const folder = await keptFolder("models");
  if (!folder) return false;
  try {
    const own = await folder.getDirectoryHandle(await storedNameOf(ref));
    return (await readDescription(own))?.isWhole ?? false;
  } catch {
    return false;
  }
}
