import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type LogFile, RowLog } from "./row-log.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "row-log-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A disk with room for `capacity` bytes, that writes at most `most` at a time; what is synced is counted. */
function smallDisk(capacity: number, most = 7) {
  const disk = { bytes: Buffer.alloc(0), synced: 0, capacity };
  const file: LogFile = {
    write(bytes, at) {
      const room = disk.capacity - disk.bytes.length;
      if (room <= 0) throw Object.assign(new Error("no space left on device"), { code: "ENOSPC" });
      const piece = bytes.subarray(at, at + Math.min(most, room));
      disk.bytes = Buffer.concat([disk.bytes, piece]);
      return piece.length;
    },
    sync: () => {
      disk.synced = disk.bytes.length;
    },
    truncate: (length) => {
      disk.bytes = disk.bytes.subarray(0, length);
    },
    close: () => {},
  };
  return { disk, open: () => ({ file, length: disk.bytes.length }) };
}

describe("RowLog", () => {
  it("appends whole lines that are on the disk when append returns", () => {
    const { disk, open } = smallDisk(1000);
    const log = RowLog.open("rows", 0, open);
    for (const n of [1, 2]) {
      log.append({ n, text: "zwölf" });
      expect(disk.synced).toBe(disk.bytes.length);
    }
    expect(disk.bytes.toString()).toBe('{"n":1,"text":"zwölf"}\n{"n":2,"text":"zwölf"}\n');
  });

  it("a full disk is one clear error and leaves the rows before whole, wherever it was full", () => {
    const rows = [{ n: 1 }, { n: 2 }, { n: 3, long: "x".repeat(30) }];
    const lines = rows.map((row) => `${JSON.stringify(row)}\n`);
    for (let capacity = 0; capacity < lines.join("").length; capacity++) {
      const { disk, open } = smallDisk(capacity);
      const log = RowLog.open("dir/results.jsonl", 0, open);
      const stored: string[] = [];
      let error: unknown;
      for (const [i, row] of rows.entries()) {
        try {
          log.append(row);
          stored.push(lines[i]!);
        } catch (cause) {
          error = cause;
          break;
        }
      }
      expect(error).toMatchObject({ code: "out_of_memory" });
      expect((error as Error).message).toMatch(
        /no space left for dir\/results\.jsonl \(ENOSPC\).*run the same command again/,
      );
      expect(disk.bytes.toString()).toBe(stored.join(""));
      // With room again, it goes on where it was.
      disk.capacity = 1000;
      log.append({ n: 9 });
      expect(disk.bytes.toString()).toBe(`${stored.join("")}{"n":9}\n`);
    }
  });

  it("cuts off an unfinished line when it is opened", () => {
    const path = join(folder, "cut.jsonl");
    writeFileSync(path, '{"n":1}\n{"n":');
    const log = RowLog.open(path, 8);
    log.append({ n: 2 });
    log.close();
    expect(readFileSync(path, "utf8")).toBe('{"n":1}\n{"n":2}\n');
  });
});
