/** @file Places of results, and what is said of them. */
import { spawnSync } from "node:child_process";
import {
  closeSync,
  lstatSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { writeFileAtomically } from "../node/write-file-atomically.ts";
import { checkOutputFile, checkOutputFolder, writeOutput } from "./output-file.ts";
import { reasonOf, systemErrorLine } from "./system-error.ts";

const folder = mkdtempSync(join(tmpdir(), "turboquant-output-"));
afterAll(() => rmSync(folder, { recursive: true }));
const at = (name: string): string => join(folder, name);
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

describe("places", () => {
  it("new files, files that are there, devices and folders to be made are fine", async () => {
    writeFileSync(at("there"), "x");
    for (const path of [at("new"), at("there"), "/dev/null"]) await checkOutputFile("--out", path);
    for (const path of [folder, at("a/b/c")]) await checkOutputFolder("--images", path);
  });

  it("others are said before the work", async () => {
    await expect(checkOutputFile("--out", at("no/x"))).rejects.toThrow(
      /^--out .*no\/x: cannot be written: there is no such/,
    );
    await expect(checkOutputFile("--out", folder)).rejects.toThrow(/it is a folder \(EISDIR\); choose another place/);
    await expect(checkOutputFolder("--images", at("there/x"))).rejects.toThrow(
      /a part of the path is no folder \(ENOTDIR\)/,
    );
  });
});

describe("writing", () => {
  it("names the option, the file and the reason", async () => {
    const full = () => Promise.reject(Object.assign(new Error("write"), { code: "ENOSPC", syscall: "write" }));
    await expect(writeOutput("--out", "/dev/full", full)).rejects.toThrow(
      "--out /dev/full: cannot be written: no space is left on the device (ENOSPC); choose another place",
    );
  });

  it("two writes of one file at the same time do not meet: one of them is there, and nothing else", async () => {
    const contents = Array.from({ length: 12 }, (_, i) => `${i}`.repeat(100_000 + i));
    await Promise.all(contents.map((content) => writeFileAtomically(at("both"), bytes(content))));
    expect(contents).toContain(readFileSync(at("both"), "utf8"));
    expect(readdirSync(folder).filter((name) => name.startsWith("both"))).toEqual(["both"]);
  });

  it("a link stays one, and a pipe is written to", async () => {
    writeFileSync(at("target"), "old");
    symlinkSync(at("target"), at("link"));
    await writeFileAtomically(at("link"), bytes("new"));
    expect([readFileSync(at("target"), "utf8"), lstatSync(at("link")).isSymbolicLink()]).toEqual(["new", true]);
    if (spawnSync("mkfifo", [at("pipe")]).status !== 0) return;
    const reader = openSync(at("pipe"), "r+");
    await writeFileAtomically(at("pipe"), bytes("through"));
    const got = Buffer.alloc(7);
    readSync(reader, got);
    closeSync(reader);
    expect([got.toString(), statSync(at("pipe")).isFIFO()]).toEqual(["through", true]);
  });
});

it("errors of the system are one line, and others are none of it", () => {
  const error = Object.assign(new Error("x"), { code: "ENOSPC", syscall: "write", path: "/out/rows.jsonl.123-4.tmp" });
  expect(systemErrorLine(error)).toBe(
    "/out/rows.jsonl: no space is left on the device (ENOSPC); check the path, or choose another place",
  );
  expect(systemErrorLine(Object.assign(new Error("x"), { code: "EIO", syscall: "read" }))).toMatch(
    /^read: the device fails/,
  );
  expect(systemErrorLine(new TypeError("x"))).toBeNull();
  expect(systemErrorLine(Object.assign(new Error("x"), { code: "ERR_ASSERTION" }))).toBeNull();
  expect(reasonOf(new Error("plain"))).toBe("plain");
});
