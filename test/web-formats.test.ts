/** @file What the page says of cache formats: bytes and reach of each, a change as it happens, and words explained where they stand. */
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import "../src/node/install.ts";
import { allocatedBytes, collect, LLM, parseKvSpec } from "../src/index.ts";
import { formatBytes } from "../web/src/ui/format.ts";
import { onePage } from "./support/one-page.ts";
import { findChromium, skipReason } from "./support/optional.ts";
import { type StaticServer, serveFolder } from "./support/static-server.ts";
import { type BuiltApp, buildWebApp, launchChromium } from "./support/web-app.ts";
import { openPage, say, useFormat } from "./support/web-page.ts";

const chromium = findChromium();
const skip = skipReason("browser", chromium !== undefined, "install chromium, or name one in CHROMIUM");

const STORY = "Once upon a time there was a little girl who lived";
const FRANCE = "What is the capital of France?";
const FORMATS = ["f16", "k8v8", "k4v4", "k3v3", "k2v2"];

describe.skipIf(skip)(`formats on the page${skip ? ` (${skip})` : ""}`, () => {
  let app: BuiltApp;
  let server: StaticServer;
  let browser: Browser;
  let llm: LLM;

  beforeAll(async () => {
    app = await buildWebApp();
    server = await serveFolder(app.folder);
    browser = await launchChromium(chromium!);
    llm = await LLM.load("qwen3-1m", { kv: "k4v4", threads: 1, backend: "wasm" });
  });
  afterAll(async () => {
    await llm?.dispose();
    await browser?.close();
    await server?.close();
    app?.dispose();
  });

  const opened = onePage(async () => openPage(await browser.newContext({ serviceWorkers: "block" }), server.url));
  const bytes = (kv: string, tokens: number): string =>
    formatBytes(allocatedBytes(llm.config, parseKvSpec(kv), tokens));
  const shownBytes = (page: Page): Promise<string[]> => page.locator(".format-row > .number").allTextContents();
  const pagesTokens = async (page: Page): Promise<number> =>
    Number(/for ([\d,]+) tokens/.exec((await page.locator(".figure").textContent())!)![1]!.replace(",", ""));

  const allocated = (page: Page): Promise<string> =>
    page.locator(".figure").evaluate((node) => node.firstChild?.textContent ?? "");

  it("says before a word is said what the whole context takes in each, then what the conversation takes", async () => {
    const { page } = await opened();
    const { maxPositionEmbeddings } = llm.config;
    expect(await page.locator(".format-name").allTextContents()).toEqual(
      FORMATS.map((kv) => expect.stringMatching(new RegExp(`^${kv} `))),
    );
    expect(await shownBytes(page)).toEqual(FORMATS.map((kv) => bytes(kv, maxPositionEmbeddings)));
    expect(await page.locator(".reach-rows .number").allTextContents()).toEqual(
      ["f16", "k4v4"].map((kv) => bytes(kv, maxPositionEmbeddings)),
    );
    expect(await page.locator(".format .hint").textContent()).toContain("Each reaches 4,096 tokens on this device");
    await say(page, STORY);
    const tokens = await pagesTokens(page);
    // What is in use is shown as allocated, which may be a page more than its length asks for.
    const used = await allocated(page);
    expect(await shownBytes(page)).toEqual(FORMATS.map((kv) => (kv === "k4v4" ? used : bytes(kv, tokens))));
  });

  it("writes the conversation anew when another format is chosen, and goes on from there", async () => {
    const { page } = await opened({ maxNewTokens: 200, temperature: 1.5 });
    await useFormat(page, "k4v4");
    await say(page, STORY);
    const before = await pagesTokens(page);
    const used = await allocated(page);
    await page.getByLabel("k2v2").check();
    const note = page.locator(".switch-note", { hasText: "is now" });
    await note.waitFor();
    expect(await note.textContent()).toBe(`k4v4 ${used} → is now  k2v2 ${bytes("k2v2", before)}`);
    expect(await pagesTokens(page)).toBe(before);
    expect(await page.locator(".figure").textContent()).toContain(bytes("k2v2", before));
    await say(page, FRANCE);
    expect(await note.count(), "the conversation went on").toBe(0);
    expect(await pagesTokens(page)).toBeGreaterThan(before);
  });

  it("answers in the new format as Node does", async () => {
    const { page } = await opened();
    const first = await say(page, STORY);
    await page.getByLabel("f16").check();
    await page.locator(".switch-note", { hasText: "is now" }).waitFor();
    const f16 = await llm.withKv("f16");
    const messages = [STORY, first, FRANCE].map((content, i) => ({ role: i === 1 ? "assistant" : "user", content }));
    const expected = await collect(f16.chat(messages, { maxNewTokens: 24, temperature: 0 }));
    await f16.dispose();
    expect(await say(page, FRANCE)).toBe(expected.text.trim());
  });

  it("explains its words where they stand", async () => {
    const { page } = await opened();
    await page.setViewportSize({ width: 390, height: 700 });
    const word = page.locator(".lead .term");
    await word.click();
    const note = page.getByRole("note").filter({ hasText: "outgrows the model" }).first();
    await note.waitFor();
    const box = (await note.boundingBox())!;
    expect(box.x).toBeGreaterThanOrEqual(0);
    expect(box.x + box.width).toBeLessThanOrEqual(390);
    expect(box.y + box.height).toBeLessThanOrEqual(700);
    await page.keyboard.press("Escape");
    await note.waitFor({ state: "hidden" });
  });
});
