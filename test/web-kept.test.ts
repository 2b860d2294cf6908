/** @file What the page keeps: caches in the origin's private file system, with which a conversation or a document goes on another day. */
import type { Browser, BrowserContext, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { onePage } from "./support/one-page.ts";
import { findChromium, skipReason } from "./support/optional.ts";
import { type StaticServer, serveFolder } from "./support/static-server.ts";
import { type BuiltApp, buildWebApp, launchChromium } from "./support/web-app.ts";
import { openPage, say, untilReady, useModel } from "./support/web-page.ts";

const chromium = findChromium();
const skip = skipReason("browser", chromium !== undefined, "install chromium, or name one in CHROMIUM");

const STORY = "Once upon a time there was a little girl who lived";
const LINE = "The walls of the house were white, and the garden had a gate of iron. ";

describe.skipIf(skip)(`caches that the page keeps${skip ? ` (${skip})` : ""}`, () => {
  let app: BuiltApp;
  let server: StaticServer;
  let browser: Browser;
  let context: BrowserContext | undefined;

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

  const opened = onePage(async () => openPage(await browser.newContext({ serviceWorkers: "block" }), server.url));
  const keptLine = (page: Page) => page.locator(".panel").getByText("Kept in this browser");
  const headline = (page: Page) => page.locator(".panel .figure").textContent();
  /** Tokens of the last answer's prompt that were cached, as the conversation has them. */
  const cachedTokens = (page: Page) =>
    page.evaluate(
      () =>
        new Promise<number>((resolve, reject) => {
          const open = indexedDB.open("turboquant");
          open.onerror = () => reject(open.error);
          open.onsuccess = () => {
            const all = open.result.transaction("conversations").objectStore("conversations").getAll();
            all.onsuccess = () => {
              const newest = all.result.sort((a, b) => b.updatedAt - a.updatedAt)[0];
              resolve(newest.messages.at(-1).figures?.cachedTokens ?? -1);
              open.result.close();
            };
          };
        }),
    );
  const keptFiles = (page: Page) =>
    page.evaluate(async () => {
      const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle("caches", { create: true });
      const names: string[] = [];
      for await (const name of (folder as unknown as { keys(): AsyncIterable<string> }).keys()) names.push(name);
      return names;
    });
  const attach = async (page: Page): Promise<void> => {
    const file = { name: "house.txt", mimeType: "text/plain", buffer: Buffer.from(LINE.repeat(20)) };
    await page.getByLabel("A document", { exact: true }).setInputFiles(file);
    await page.getByText("house.txt, 1,").waitFor();
  };

  it("what is kept is listed with sizes and can be deleted; a deleted conversation leaves nothing", async () => {
    const { page } = await opened();
    await say(page, STORY);
    await keptLine(page).waitFor();
    await page.getByRole("button", { name: "Settings" }).click();
    expect(await page.locator(".kept-list li").textContent()).toMatch(
      /Once upon a time.*kB, \d+ tokens, qwen3-1m k4v4/,
    );
    await page.getByRole("button", { name: /^Delete the cache of Once upon/ }).click();
    await page.locator(".kept-list li").waitFor({ state: "detached" });
    expect(await keptFiles(page)).toEqual([]);
    await page.keyboard.press("Escape");
    await say(page, "And then?");
    await keptLine(page).waitFor();
    await page.getByRole("button", { name: /^Delete Once/ }).click();
    await page.reload();
    await untilReady(page);
    await page.waitForFunction(async () => {
      const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle("caches");
      return (await (folder as unknown as { keys(): AsyncIterator<string> }).keys().next()).done;
    });
  });

  it("a conversation goes on after a reload: its cache is shown at once and used by the next answer", async () => {
    const { page } = await opened();
    await say(page, STORY);
    await keptLine(page).waitFor();
    const tokens = /for \d+ tokens/.exec((await headline(page)) ?? "")![0];
    await page.reload();
    await untilReady(page);
    await page.locator(".panel .figure-beside", { hasText: /for \d+ tokens/ }).waitFor();
    expect(await headline(page)).toContain(tokens);
    await say(page, "And then?");
    expect(await cachedTokens(page)).toBeGreaterThan(20);
  });

  it("another question about the same document does not read it again, in memory or another day", async () => {
    const { page } = await opened();
    await attach(page);
    await say(page, "What colour?");
    await keptLine(page).waitFor();
    await page.getByRole("button", { name: "New conversation" }).click();
    await attach(page);
    await say(page, "Which gate?");
    expect(await cachedTokens(page), "from memory").toBeGreaterThan(250);
    await page.reload();
    await untilReady(page);
    await page.getByRole("button", { name: "New conversation" }).click();
    await attach(page);
    await say(page, "Whose house?");
    expect(await cachedTokens(page), "from what is kept").toBeGreaterThan(250);
  });

  it("a cache of another model or format is left alone; a damaged one is computed anew and replaced", async () => {
    const { page } = await opened();
    // No other conversation has tokens to share with it.
    await say(page, "Rain fell on the river, and an old gardener went home with his lamp");
    const id = page.url().split("/").at(-1)!;
    const filesOfThis = async (): Promise<string[]> =>
      (await keptFiles(page)).filter((name) => name.startsWith(`${id}.`)).sort();
    await keptLine(page).waitFor();
    const files = await filesOfThis();
    expect(files.map((name) => name.replace(/.*\./, "")).sort()).toEqual(["json", "tokens", "tqkv"]);
    await useModel(page, "qwen3-3m");
    await page.getByText("it is computed with the next message").waitFor();
    expect(await filesOfThis()).toEqual(files);
    await useModel(page, "qwen3-1m");
    await page.locator(".panel .figure-beside", { hasText: /for \d+ tokens/ }).waitFor();

    await page.evaluate(
      async (name) => {
        const folder = await (await navigator.storage.getDirectory()).getDirectoryHandle("caches");
        const file = await folder.getFileHandle(name);
        const bytes = new Uint8Array(await (await file.getFile()).arrayBuffer());
        bytes[bytes.length >> 1]! ^= 1;
        const writable = await file.createWritable();
        await writable.write(bytes);
        await writable.close();
      },
      files.find((name) => name.endsWith(".tqkv"))!,
    );
    await page.reload();
    await untilReady(page);
    await page.getByText("it is computed with the next message").waitFor();
    expect((await say(page, "And then?")).length).toBeGreaterThan(0);
    expect(await cachedTokens(page)).toBe(0);
    await keptLine(page).waitFor();
  });

  it("says when there is no room to keep it, and the answer is there all the same", async () => {
    context = await browser.newContext({ serviceWorkers: "block" });
    const { page } = await openPage(context, server.url);
    const cdp = await context.newCDPSession(page);
    await cdp.send("Storage.overrideQuotaForOrigin", { origin: new URL(server.url).origin, quotaSize: 300_000_000 });
    await say(page, STORY);
    await keptLine(page).waitFor();
    // The limit is a share of the quota, so a quota that is full already leaves room by that share, but not by the bytes.
    await cdp.send("Storage.overrideQuotaForOrigin", { origin: new URL(server.url).origin, quotaSize: 900_000 });
    await say(page, "And then?");
    await page.locator(".panel .problem").waitFor();
    expect(await page.locator(".panel .problem").textContent()).toMatch(/not kept for another day/);
    expect(await page.locator(".message-answer").count()).toBe(2);
  });
});
