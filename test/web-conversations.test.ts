/** @file What can be done with conversations on the page: versions, names, search, files, addresses; and that a thousand of them do not slow it. */
import { readFileSync } from "node:fs";
import type { Browser, BrowserContext, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { onePage } from "./support/one-page.ts";
import { findChromium, skipReason } from "./support/optional.ts";
import { type StaticServer, serveFolder } from "./support/static-server.ts";
import { type BuiltApp, buildWebApp, launchChromium } from "./support/web-app.ts";
import { answerEnd, openPage, say, untilReady } from "./support/web-page.ts";

const chromium = findChromium();
const skip = skipReason("browser", chromium !== undefined, "install chromium, or name one in CHROMIUM");

const SHORT = { maxNewTokens: 8 };
const FRANCE = "What is the capital of France?";
const SPAIN = "What is the capital of Spain?";
const PORTUGAL = "What is the capital of Portugal?";

describe.skipIf(skip)(`conversations on the page${skip ? ` (${skip})` : ""}`, () => {
  let app: BuiltApp;
  let server: StaticServer;
  let browser: Browser;
  let context: BrowserContext;

  beforeAll(async () => {
    app = await buildWebApp();
    server = await serveFolder(app.folder);
    browser = await launchChromium(chromium!);
  });
  afterAll(async () => {
    await browser?.close();
    await server?.close();
    app?.dispose();
  });
  afterEach(async () => {
    await context?.close();
  });

  async function open(options: Parameters<typeof openPage>[2] = {}): Promise<Page> {
    context = await browser.newContext({ acceptDownloads: true, serviceWorkers: "block" });
    return (await openPage(context, server.url, { ...SHORT, ...options })).page;
  }
  const opened = onePage(
    async () => openPage(await browser.newContext({ serviceWorkers: "block" }), server.url, SHORT),
    SHORT,
  );
  const titles = (page: Page): Promise<string[]> => page.locator(".conversation-title").allTextContents();

  it("keeps what an edit or another answer takes the place of, also over a reload", async () => {
    const { page } = await opened();
    const first = await say(page, FRANCE);
    await page.getByRole("button", { name: "Edit" }).click();
    await page.getByLabel("Your message").fill(SPAIN);
    await page.getByRole("link", { name: "Plan" }).click();
    await page.getByRole("link", { name: "Chat" }).click();
    await page.getByLabel("Your message").press("Control+Enter");
    await page.locator(".bubble", { hasText: "Spain" }).waitFor();
    await answerEnd(page);
    expect(await page.locator(".versions").textContent()).toBe("2 of 2");
    await page.reload();
    await untilReady(page);
    await page.getByRole("button", { name: "Version before" }).click();
    await page.locator(".bubble", { hasText: "France" }).waitFor();
    expect(await page.locator(".message-answer .prose").textContent()).toBe(first);
    await page.getByRole("button", { name: "Answer again" }).click();
    await answerEnd(page);
    expect(await page.locator(".versions").allTextContents()).toEqual(["1 of 2", "2 of 2"]);
    await page.getByRole("button", { name: "Next version" }).first().click();
    await page.locator(".bubble", { hasText: "Spain" }).waitFor();
    expect(await page.locator(".message").count()).toBe(2);
  });

  it("names, finds, writes and reads conversations", async () => {
    const { page } = await opened();
    for (let i = 0; i < 6; i++) {
      await page.getByRole("button", { name: "New conversation" }).click();
      await say(page, i === 3 ? PORTUGAL : `Tell me of number ${i}`);
    }
    await page.getByRole("button", { name: "Rename Tell me of number 5" }).click();
    await page.getByLabel("Name of the conversation").fill("The fifth");
    await page.keyboard.press("Enter");
    expect((await titles(page))[0]).toBe("The fifth");
    await page.getByRole("button", { name: "Rename The fifth" }).click();
    await page.getByLabel("Name of the conversation").fill("Not this");
    await page.keyboard.press("Escape");
    expect(await titles(page)).toContain("The fifth");
    await page.getByLabel("Find a conversation").fill("capital portugal");
    expect(await titles(page)).toEqual([PORTUGAL]);
    await page.getByLabel("Find a conversation").fill("nowhere at all");
    await page.getByText("None has these words.").waitFor();
    await page.getByLabel("Find a conversation").fill("");

    const download = page.waitForEvent("download");
    await page.getByRole("button", { name: "Export" }).click();
    const file = readFileSync(await (await download).path());
    const before = await titles(page);
    const other = await open();
    const give = (name: string, buffer: Buffer): Promise<void> =>
      other.getByLabel("A file of conversations").setInputFiles({ name, mimeType: "application/json", buffer });
    await give("notes.json", Buffer.from("{}"));
    await other.getByText("notes.json: expected a file of conversations").waitFor();
    await give("all.json", file);
    await other.getByText(`${before.length} added.`).waitFor();
    expect(await titles(other)).toEqual(before);
    await give("all.json", file);
    await other.getByText("All of them are here already.").waitFor();
    await other.reload();
    await untilReady(other);
    await other.locator(".conversation-open", { hasText: "The fifth" }).click();
    await other.locator(".bubble", { hasText: "Tell me of number 5" }).waitFor();
  });

  it("gives each conversation an address and a title, to which one can go back", async () => {
    const { page } = await opened();
    await say(page, FRANCE);
    const first = page.url();
    expect(first).toMatch(/#\/chat\/\w+$/);
    expect(await page.title()).toBe(`${FRANCE} – TurboQuant`);
    await page.getByRole("button", { name: "New conversation" }).click();
    await page.locator(".welcome").waitFor();
    await say(page, SPAIN);
    expect(page.url()).not.toBe(first);
    const second = page.url();
    await page.goBack();
    await page.locator(".bubble", { hasText: "France" }).waitFor();
    expect(page.url()).toBe(first);
    await page.goto(second);
    await page.locator(".bubble", { hasText: "Spain" }).waitFor();
    await page.goto(`${server.url}#/chat/nosuchone`);
    await page.locator(".welcome").waitFor();
    await page.getByRole("link", { name: "Plan" }).click();
    // The browser tells the page of its new address after the click; the form is drawn once it was told.
    await page.locator(".plan-form").waitFor();
    expect(await page.title()).toBe("Plan – TurboQuant");
    await page.locator(".plan-form select").nth(1).selectOption("8");
    const plan = page.url();
    expect(plan).toContain("#/plan?model=qwen3-8b&memory=8&");
    await page.goto(`${server.url}#/plan?model=llama-3.1-8b&memory=12&context=8192&sequences=2&weights=q4`);
    await page.reload();
    await page.locator(".plan-verdict").waitFor();
    const values = await page
      .locator(".plan-form :is(select, input:not([type=file]))")
      .evaluateAll((fields) => fields.map((field) => (field as HTMLInputElement).value));
    expect(values).toEqual(["llama-3.1-8b", "12", "8192", "2", "q4"]);
  });

  it("draws no row again while an answer is written, however many conversations there are", async () => {
    // Drawn this hot, the small model does not come to an end by itself.
    const page = await open({ maxNewTokens: 3000, temperature: 2 });
    await page.evaluate(async () => {
      const request = indexedDB.open("turboquant");
      const db = await new Promise<IDBDatabase>((resolve) => {
        request.onsuccess = () => resolve(request.result);
      });
      const store = db.transaction("conversations", "readwrite").objectStore("conversations");
      for (let i = 0; i < 1000; i++) {
        const messages = [{ id: `m${i}`, role: "user", text: "words ".repeat(300) }];
        store.put({ id: `c${i}`, title: `Conversation ${i}`, updatedAt: i, system: "", messages });
      }
      await new Promise((resolve) => {
        store.transaction.oncomplete = resolve;
      });
    });
    await page.reload();
    await untilReady(page);
    expect(await page.locator(".conversation").count()).toBe(1000);
    // By the names of a thousand rows' buttons it would be found in a second.
    await page.locator("[aria-label='New conversation']").click();
    await page.getByLabel("Message", { exact: true }).fill(FRANCE);
    await page.keyboard.press("Enter");
    await page.locator(".message-answer .prose").waitFor();
    await page.evaluate(() => {
      const seen = { rows: 0, words: 0 };
      Object.assign(globalThis, { seen });
      new MutationObserver((changes) => {
        seen.rows += changes.length;
      }).observe(document.querySelector(".conversation-list")!, {
        subtree: true,
        childList: true,
        attributes: true,
        characterData: true,
      });
      new MutationObserver((changes) => {
        seen.words += changes.length;
      }).observe(document.querySelector(".messages")!, { subtree: true, childList: true, characterData: true });
    });
    await page.waitForFunction(() => (globalThis as unknown as { seen: { words: number } }).seen.words > 8);
    const seen = await page.evaluate(() => ({ ...(globalThis as unknown as { seen: { rows: number } }).seen }));
    expect(seen.rows, "rows that changed while words came").toBe(0);
  });
});
