import { afterEach, expect, it, vi } from "vitest";
import { navigatorWithFiles } from "../../test/support/memory-folder.ts";
import type { EngineChoice } from "./engine/engine-choice.ts";
import { StoredSource } from "./engine/stored-source.ts";
import { offlineNote } from "./where-words-go.ts";

const REF = "https://host.example/model.gguf";
const fromWeb = { where: "tab", model: { kind: "url", ref: REF } } as EngineChoice;

afterEach(() => vi.unstubAllGlobals());

it("with a model of a server nothing is said to work offline but the page", async () => {
  vi.stubGlobal("location", { href: "http://page/" });
  const onServer = (url: string) => ({ where: "server", address: { url }, model: "m" }) as const;
  expect(await offlineNote(onServer("https://models.example"))).toBe(
    "The page opens offline, its model on models.example does not",
  );
  expect(await offlineNote(onServer(""))).toBe("The page opens offline, its model on page does not");
});

it("a model from the web opens offline once this browser has kept all of it", async () => {
  vi.stubGlobal("navigator", navigatorWithFiles());
  expect(await offlineNote(null)).toBe("Works offline");
  expect(await offlineNote(fromWeb)).toMatch(/its model does not/);
  const remote = { name: REF, has: async () => true, size: async () => 0, read: async () => new Uint8Array() };
  const source = await StoredSource.over(REF, { ...remote, close: async () => {} });
  expect(await offlineNote(fromWeb)).toMatch(/its model does not/);
  await (source as StoredSource).markWhole();
  expect(await offlineNote(fromWeb)).toBe("Works offline");
});
