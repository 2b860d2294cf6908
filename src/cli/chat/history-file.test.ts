import { mkdtempSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { completeLine } from "./chat-commands.ts";
import { historyPath, readHistory, writeHistory } from "./history-file.ts";

const folder = mkdtempSync(join(tmpdir(), "turboquant-history-"));
afterAll(() => rmSync(folder, { recursive: true }));

it("lies among the user's states, or where a variable says, and can be off", () => {
  expect(historyPath({ XDG_STATE_HOME: "/state" })).toBe("/state/turboquant/history");
  expect(historyPath({ TURBOQUANT_HISTORY: "/mine" })).toBe("/mine");
  expect(historyPath({ TURBOQUANT_HISTORY: "off" })).toBeNull();
});

it("is kept for the user alone, and what cannot be written is told and not thrown", () => {
  const path = join(folder, "deep/history");
  expect(readHistory(path)).toEqual([]);
  expect(writeHistory(path, ["second", "first"])).toBeNull();
  expect(readFileSync(path, "utf8")).toBe("first\nsecond\n");
  expect(readHistory(path)).toEqual(["second", "first"]);
  expect(statSync(path).mode & 0o077).toBe(0);
  expect(writeHistory(join(path, "below"), ["x"])).toMatchObject({ code: expect.stringMatching(/ENOTDIR|EEXIST/) });
  expect(writeHistory(null, ["x"])).toBeNull();
});

it("Tab completes commands, settings, formats and files", () => {
  expect(completeLine("/re")[0]).toEqual(["/regen", "/reset"]);
  expect(completeLine("/set top")).toEqual([["top-k", "top-p"], "top"]);
  expect(completeLine("/kv k4")).toEqual([["k4v4"], "k4"]);
  const [files, typed] = completeLine(`/load ${folder}/d`);
  expect([files, typed]).toEqual([[`${folder}/deep/`], `${folder}/d`]);
  expect(completeLine("hello")).toEqual([[], "hello"]);
});
