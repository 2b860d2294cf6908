import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { h } from "preact";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { rendered, stubBrowser } from "../../../test/support/rendered.ts";
import { memo } from "./memo.ts";

beforeEach(stubBrowser);
afterEach(() => vi.unstubAllGlobals());

it("draws again what was given something else, and nothing else", async () => {
  const drawn: string[] = [];
  const Name = ({ name }: { readonly name: string }) => {
    drawn.push(name);
    return h("p", null, name);
  };
  const [Own, ByLength] = [memo(Name), memo(Name, (before, after) => before.name.length === after.name.length)];
  for (const [Kind, all] of [
    [Own, ["a", "b"]],
    [ByLength, ["a"]],
  ] as const) {
    drawn.length = 0;
    const page = await rendered(h(Kind, { name: "a" }));
    for (const name of ["a", "b", "b"]) await page.after(() => page.draw(h(Kind, { name })));
    expect(drawn).toEqual(all);
    page.close();
  }
});

it("no part of the page makes text fields answer to every keystroke of onChange, as preact/compat does", () => {
  const folder = join(import.meta.dirname, "..");
  const parts = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) => /\.tsx?$/.test(name));
  const imports = parts.filter((name) => /from "preact\/compat"/.test(readFileSync(join(folder, name), "utf8")));
  expect(parts.length).toBeGreaterThan(50);
  expect(imports).toEqual([]);
});
