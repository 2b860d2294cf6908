import { afterEach, expect, it, vi } from "vitest";
import { askToStay } from "./stay.ts";

afterEach(() => vi.unstubAllGlobals());

it("asks the browser once a visit to keep what the page stores, and takes a refusal", () => {
  const persist = vi.fn(async () => Promise.reject(new Error("no")));
  vi.stubGlobal("navigator", { storage: { persist } });
  askToStay();
  askToStay();
  expect(persist).toHaveBeenCalledTimes(1);
  vi.stubGlobal("navigator", {});
  expect(askToStay).not.toThrow();
});
