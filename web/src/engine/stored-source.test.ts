import { type FileSource, TurboQuantError } from "turboquant";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { navigatorWithFiles } from "../../../test/support/memory-folder.ts";
import { entriesOf, keptFolder } from "../kept/folder.ts";
import { DESCRIPTION, PART_BYTES, storedNameOf } from "../kept/kept-models.ts";
import { StoredSource } from "./stored-source.ts";

const REF = "https://host.example/model.gguf";
const FILE = "model.gguf";
const SIZE = 3 * PART_BYTES;

/** A server of one file of equal bytes. */
class Server {
  file = FILE;
  version = "one";
  byte = 1;
  isDown = false;
  readonly reads: number[] = [];
  readonly source: FileSource = {
    name: REF,
    has: async (file) => this.#up() && file === this.file,
    size: async () => this.#up() && SIZE,
    version: async () => this.#up() && this.version,
    read: async (_, start, end) => {
      this.#up();
      this.reads.push(start);
      return new Uint8Array(end - start).fill(this.byte);
    },
    close: async () => {},
  };

  #up(): true {
    if (this.isDown) throw new TurboQuantError("invalid_file", "the server cannot be reached");
    return true;
  }
}

/** The model as one more tab opens it. */
const openTab = (server: Server) => StoredSource.over(REF, server.source) as Promise<StoredSource>;
/** The first byte of each part. */
async function firstBytes(tab: FileSource, parts: readonly number[]): Promise<number[]> {
  const found: number[] = [];
  for (const part of parts) found.push((await tab.read(FILE, part * PART_BYTES, part * PART_BYTES + 1))[0]!);
  return found;
}

describe("a model from the web that is kept", () => {
  let server: Server;
  beforeEach(() => {
    server = new Server();
    vi.stubGlobal("navigator", navigatorWithFiles());
  });
  afterEach(() => vi.unstubAllGlobals());

  it("goes on where it ended, and is read by several tabs without the server once it is whole", async () => {
    const first = await openTab(server);
    expect(await firstBytes(first, [0])).toEqual([1]);
    await first.close();
    const second = await openTab(server);
    expect(await firstBytes(second, [0, 1, 2])).toEqual([1, 1, 1]);
    expect(server.reads).toEqual([0, PART_BYTES, 2 * PART_BYTES]);
    await second.markWhole();
    server.isDown = true;
    // The second tab has not closed its files yet.
    const [third, fourth] = [await openTab(server), await openTab(server)];
    expect(await firstBytes(third, [0, 1, 2])).toEqual([1, 1, 1]);
    expect(await firstBytes(fourth, [0, 1, 2])).toEqual([1, 1, 1]);
    await Promise.all([second.close(), third.close(), fourth.close()]);
  });

  it("begins anew where the file was replaced on the server since", async () => {
    const first = await openTab(server);
    await firstBytes(first, [0]);
    await first.close();
    server.version = "two";
    server.byte = 2;
    const second = await openTab(server);
    expect(await firstBytes(second, [0, 1, 2])).toEqual([2, 2, 2]);
    await second.markWhole();
    await second.close();
    // A newer version comes after the kept one was deleted.
    server.version = "three";
    expect(await firstBytes(await openTab(server), [0, 1, 2])).toEqual([2, 2, 2]);
  });

  it("is read while another tab writes it, and by several tabs where the load needed only a part of a file", async () => {
    const first = await openTab(server);
    await firstBytes(first, [0]);
    await first.close();
    const [writer, reader] = [await openTab(server), await openTab(server)];
    await firstBytes(writer, [0, 1]);
    await writer.markWhole();
    server.isDown = true;
    expect(await firstBytes(reader, [0])).toEqual([1]);
    const third = await openTab(server);
    expect(await firstBytes(third, [0, 1])).toEqual([1, 1]);
    await expect(third.read(FILE, 2 * PART_BYTES, SIZE)).rejects.toMatchObject({ code: "invalid_file" });
    await Promise.all([writer.close(), reader.close(), third.close()]);
  });

  it("has what every tab has stored of it, whichever of them is closed last", async () => {
    const first = await openTab(server);
    await firstBytes(first, [0]);
    await first.close();
    const [reader, late, writer] = [await openTab(server), await openTab(server), await openTab(server)];
    await firstBytes(writer, [1]);
    await writer.markWhole();
    await writer.close();
    await firstBytes(reader, [0]);
    await reader.close();
    await firstBytes(late, [2]);
    await late.close();
    server.isDown = true;
    expect(await firstBytes(await openTab(server), [0, 1, 2])).toEqual([1, 1, 1]);
  });

  it("leaves nothing of files that are not on the server any more", async () => {
    const first = await openTab(server);
    await firstBytes(first, [0]);
    await first.close();
    server.file = "other.gguf";
    const second = await openTab(server);
    await second.read("other.gguf", 0, 1);
    await second.close();
    const models = (await keptFolder("models"))!;
    const names: string[] = [];
    for await (const [, folder] of entriesOf(models)) {
      for await (const [name] of entriesOf(folder as FileSystemDirectoryHandle)) names.push(name);
    }
    expect(names.sort()).toEqual([`${await storedNameOf("other.gguf")}.part`, DESCRIPTION].sort());
  });
});
