import { expect, it } from "vitest";
import { listIn } from "./kept-caches.ts";

const description = (conversation: string, kv: string, version?: number): object => ({
  ...{ conversation, model: "M", fingerprint: "f", kv, tokens: 1, numBytes: 1, usedAt: 0 },
  ...(version !== undefined && { version }),
});

/** A folder of these descriptions, of which each is named after its conversation. */
function folderOf(descriptions: Readonly<Record<string, object>>): FileSystemDirectoryHandle {
  const files = new Map(Object.entries(descriptions).map(([id, each]) => [`${id}.json`, JSON.stringify(each)]));
  const folder = {
    async *entries() {
      for (const name of files.keys()) yield [name, null];
    },
    getFileHandle: async (name: string) => ({ getFile: async () => new Blob([files.get(name)!]) }),
  };
  return folder as unknown as FileSystemDirectoryHandle;
}

it("what says no version is of version 2, and the formats of all others are as they are written", async () => {
  const kept = await listIn(
    folderOf({ a: description("a", "k4v4"), b: description("b", "k4v4", 3), c: description("c", "k4v4", 4) }),
  );
  expect(kept.map(({ kv }) => kv)).toEqual(["k4v4,window=16bit", "k4v4", "k4v4"]);
});
