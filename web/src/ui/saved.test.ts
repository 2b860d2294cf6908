import { afterEach, expect, it, vi } from "vitest";
import { memoryStorage } from "../../../test/support/memory-storage.ts";
import { readSaved, save, savedNames } from "./saved.ts";

const isText = (value: unknown): value is string => typeof value === "string";

afterEach(() => vi.unstubAllGlobals());

it("what is of this tab alone is kept apart from what all tabs see", () => {
  vi.stubGlobal("localStorage", memoryStorage());
  vi.stubGlobal("sessionStorage", memoryStorage());
  save("conversation", "shared");
  save("conversation", "own", "tab");
  expect([readSaved("conversation", isText), readSaved("conversation", isText, "tab")]).toEqual(["shared", "own"]);
  save("conversation", undefined, "tab");
  expect([readSaved("conversation", isText), readSaved("conversation", isText, "tab")]).toEqual(["shared", null]);
});

it("names are found by their beginning, those of the page alone", () => {
  vi.stubGlobal("localStorage", memoryStorage());
  localStorage.setItem("unwritten.of-another-page", "1");
  save("unwritten.a", 1);
  save("draft", "x");
  save("unwritten.b", 2);
  expect(savedNames("unwritten")).toEqual(["unwritten.a", "unwritten.b"]);
});

it("a browser that forbids it forgets, and throws nothing", () => {
  vi.stubGlobal("localStorage", undefined);
  save("draft", "x");
  expect(readSaved("draft", isText)).toBeNull();
  expect(savedNames("draft")).toEqual([]);
});
