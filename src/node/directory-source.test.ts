import { mkdir, mkdtemp, rm, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DirectorySource } from "./directory-source.ts";

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "tq-dir-"));
  await writeFile(
    join(directory, "a.bin"),
    Uint8Array.from({ length: 100 }, (_, i) => i),
  );
  await writeFile(join(directory, "empty"), "");
  await mkdir(join(directory, "sub"));
  await writeFile(join(directory, "sub", "b.bin"), "b");
});
afterAll(() => rm(directory, { recursive: true, force: true }));

describe("DirectorySource", () => {
  it("reads ranges, in parallel and after close", async () => {
    const source = new DirectorySource(directory);
    const parts = await Promise.all([
      source.read("a.bin", 3, 6),
      source.read("a.bin", 99, 100),
      source.read("a.bin", 7, 7),
    ]);
    expect(parts.map((p) => [...p])).toEqual([[3, 4, 5], [99], []]);
    expect(await source.size("a.bin")).toBe(100);
    expect(await source.size("empty")).toBe(0);
    expect(await source.has("sub/b.bin")).toBe(true);
    await source.close();
    expect([...(await source.read("a.bin", 0, 1))]).toEqual([0]);
    await source.close();
  });

  it("names file and next step when a file is absent, short or a directory", async () => {
    const source = new DirectorySource(directory, "my-model");
    expect(await source.has("none")).toBe(false);
    expect(await source.has("sub")).toBe(false);
    await expect(source.size("none")).rejects.toMatchObject({
      code: "invalid_file",
      message: expect.stringMatching(/my-model\/none: not found; .*copy or download/),
    });
    await expect(source.read("a.bin", 90, 101)).rejects.toMatchObject({
      code: "invalid_file",
      message: expect.stringMatching(/my-model\/a\.bin: expected at least 101 bytes, got 100; .*truncated/),
      detail: { expected: 101, got: 100 },
    });
    await expect(source.read("sub", 0, 1)).rejects.toMatchObject({ code: "invalid_file" });
    await source.close();
  });

  it("says that a file became shorter while it was read, and puts bytes where they are wanted", async () => {
    const path = join(directory, "shrinks");
    await writeFile(path, new Uint8Array(100).fill(7));
    const source = new DirectorySource(directory, "my-model");
    const into = new Uint8Array(64);
    const bytes = await source.read("shrinks", 0, 10, { into });
    expect([bytes.buffer === into.buffer, bytes.length, bytes[9], into[10]]).toEqual([true, 10, 7, 0]);
    expect((await source.read("shrinks", 0, 65, { into })).buffer).not.toBe(into.buffer);
    await truncate(path, 50);
    await expect(source.read("shrinks", 40, 60, { into })).rejects.toMatchObject({
      code: "invalid_file",
      message: expect.stringMatching(/my-model\/shrinks: expected at least 60 bytes, got 50; .*truncated/),
    });
    await source.close();
  });

  it("stays inside its directory", async () => {
    const source = new DirectorySource(join(directory, "sub"));
    for (const file of ["../a.bin", join(directory, "a.bin"), "..\\a.bin", "", ".", "x/../../a.bin"]) {
      expect(await source.has(file)).toBe(false);
      await expect(source.read(file, 0, 1)).rejects.toMatchObject({ code: "invalid_file" });
    }
  });
});
