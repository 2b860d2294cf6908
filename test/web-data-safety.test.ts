/** @file What was said is not lost: deletion races, full storage, two tabs, leaving in mid-answer, in a real browser. */
import type { Browser, BrowserContext, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { countPiecesOf, holdAnswers, letPiecesCome } from "./support/held-answers.ts";
import { onePage } from "./support/one-page.ts";
import { findChromium, skipReason } from "./support/optional.ts";
import { type StaticServer, serveFolder } from "./support/static-server.ts";
import { type BuiltApp, buildWebApp, launchChromium } from "./support/web-app.ts";
import { answerEnd, answerText, changeSettings, openPage, say, untilReady } from "./support/web-page.ts";

const chromium = findChromium();
const skip = skipReason("browser", chromium !== undefined, "install chromium, or name one in CHROMIUM");

const STORY = "Once upon a time there was a little girl who lived";
/** Drawn this hot, the small model does not come to an end by itself. */
const ENDLESS = { maxNewTokens: 2000, temperature: 2 };

/** In the page: what other tabs say waits while `isHeld` is true, as when a message takes its time. */
function holdChannels(): void {
  const waiting: (() => void)[] = [];
  const page = window as unknown as { isHeld: boolean; release: () => void };
  page.isHeld = false;
  page.release = () => {
    page.isHeld = false;
    for (const deliver of waiting.splice(0)) deliver();
  };
  const { set } = Object.getOwnPropertyDescriptor(BroadcastChannel.prototype, "onmessage")!;
  Object.defineProperty(BroadcastChannel.prototype, "onmessage", {
    set(this: BroadcastChannel, listen: (event: MessageEvent) => void) {
      set!.call(this, (event: MessageEvent) => (page.isHeld ? waiting.push(() => listen(event)) : listen(event)));
    },
  });
}
const hold = (page: Page) => page.evaluate("isHeld = true");
const release = (page: Page) => page.evaluate("release()");

describe.skipIf(skip)(`conversations of the page${skip ? ` (${skip})` : ""}`, () => {
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

  const opened = onePage(async () => {
    const context = await browser.newContext({ serviceWorkers: "block" });
    await context.addInitScript(holdChannels);
    await countPiecesOf(context);
    return openPage(context, server.url);
  });
  let second: Page | null = null;
  /** A tab beside the one page, in which the conversation is open that is newest there. */
  async function secondTab(one: Page): Promise<Page> {
    const isOpen = second !== null && !second.isClosed() && second.context() === one.context();
    second = isOpen ? second! : (await openPage(one.context(), server.url)).page;
    if (isOpen) await second.locator(".conversation-open").first().click();
    return second;
  }

  const titles = (page: Page) => page.locator(".conversation-title").allTextContents();
  const begin = async (page: Page, text: string): Promise<void> => {
    const before = await page.locator(".message-answer").count();
    await page.getByLabel("Message", { exact: true }).fill(text);
    await page.keyboard.press("Enter");
    const answer = page.locator(".message-answer").nth(before).locator(".prose");
    await answer.waitFor();
    await page.waitForFunction(
      (at) => (document.querySelectorAll(".message-answer")[at]?.textContent?.length ?? 0) > 60,
      before,
    );
  };
  const deleteNewest = (page: Page): Promise<void> =>
    page
      .getByRole("button", { name: /^Delete / })
      .first()
      .click();
  const bubbles = (page: Page) => page.locator(".bubble").allTextContents();

  it("one that is deleted while it is answered does not come back; undone, it is kept", async () => {
    const { page } = await opened(ENDLESS);
    const before = await titles(page);
    await begin(page, STORY);
    await deleteNewest(page);
    // The answer ends after the deletion; what it still says must not bring the conversation back.
    await page.waitForTimeout(600);
    expect(await titles(page)).toEqual(before);

    await begin(page, STORY);
    await deleteNewest(page);
    expect(await titles(page)).toEqual(before);
    await page.getByRole("link", { name: "Plan" }).click();
    await page.getByRole("button", { name: "Undo" }).click();
    await page.getByRole("link", { name: "Chat" }).click();
    expect(await answerText(page)).not.toBe("");
    await page.reload();
    await page.locator(".message-answer").waitFor();
    expect(await titles(page)).toHaveLength(before.length + 1);
    expect(await bubbles(page)).toEqual([STORY]);
    await untilReady(page);
  });

  it("an answer goes on while another conversation is open, and is whole when one comes back", async () => {
    const { page } = await opened({ maxNewTokens: 100, temperature: 2 });
    await holdAnswers(page);
    await begin(page, STORY);
    const early = (await answerText(page)).length;
    await page.getByRole("button", { name: "New conversation" }).click();
    expect(await page.locator(".message").count()).toBe(0);
    // A second question waits for the first answer; the engine has one model.
    await page.getByLabel("Message", { exact: true }).fill("What is the capital of France?");
    await page.keyboard.press("Enter");
    await letPiecesCome(page);
    await answerEnd(page);
    await page.locator(".conversation-open", { hasText: "Once upon" }).first().click();
    await answerEnd(page);
    expect((await answerText(page)).length).toBeGreaterThan(early);
    expect(await page.locator(".message-answer[aria-busy=true]").count()).toBe(0);
    expect(await page.locator(".message-problem").count()).toBe(0);
    expect(await page.locator(".figures").textContent()).toMatch(/tokens/);
  });

  it("storage that is full is said beside the composer, on a phone too, and what was said is written when there is room", async () => {
    // How much room is left is looked up again only for a storage that is opened.
    context = await browser.newContext({ serviceWorkers: "block" });
    const { page } = await openPage(context, server.url);
    await page.setViewportSize({ width: 390, height: 780 });
    const cdp = await context.newCDPSession(page);
    const origin = new URL(server.url).origin;
    await cdp.send("Storage.overrideQuotaForOrigin", { origin, quotaSize: 2000 });
    await say(page, STORY);
    const notice = page.locator(".not-kept");
    await notice.waitFor();
    expect(await notice.textContent()).toMatch(/storage for this page is full/);
    await cdp.send("Storage.overrideQuotaForOrigin", { origin });
    await say(page, "And then?");
    await notice.waitFor({ state: "detached" });
    await page.reload();
    await untilReady(page);
    expect(await bubbles(page)).toEqual([STORY, "And then?"]);
  });

  it("two tabs see what the other says, and lose nothing when both speak at once", async () => {
    const { page: one } = await opened();
    await say(one, STORY);
    const two = await secondTab(one);
    await two.locator(".bubble", { hasText: STORY }).waitFor();
    await two.getByLabel("Message", { exact: true }).fill("a draft of the second tab");
    await say(one, "Spain?");
    await two.locator(".bubble", { hasText: "Spain?" }).waitFor();
    await two.locator(".message-answer[aria-busy=false]").nth(1).waitFor();
    expect(await one.getByLabel("Message", { exact: true }).inputValue(), "drafts do not leak").toBe("");
    expect(await two.getByLabel("Message", { exact: true }).inputValue()).toBe("a draft of the second tab");
    // Neither hears of the other before it has spoken, so that both go on from the same conversation.
    await Promise.all([hold(one), hold(two)]);
    await say(one, "Italy?");
    await say(two, "Malta?");
    await Promise.all([release(one), release(two)]);
    await one.locator(".bubble", { hasText: "Malta?" }).waitFor();
    await two.locator(".bubble", { hasText: "Italy?" }).waitFor();
    await one.reload();
    await untilReady(one);
    expect((await bubbles(one)).sort()).toEqual(["Italy?", "Malta?", STORY, "Spain?"].sort());
    expect(await one.locator(".message-answer").count()).toBe(4);
  });

  it("one that is deleted in one tab goes from the other", async () => {
    const { page: one } = await opened();
    const before = await titles(one);
    await say(one, "The one that goes");
    const two = await secondTab(one);
    await two.locator(".bubble", { hasText: "The one that goes" }).waitFor();
    await two.locator(".message-answer").waitFor();
    await deleteNewest(one);
    await two.locator(".message").first().waitFor({ state: "detached" });
    expect(await titles(two)).toEqual(before);
  });

  it("an answer of another tab is shown while it is written; when that tab closes, it is marked", async () => {
    const { page: two } = await opened();
    const one = await secondTab(two);
    await changeSettings(one, { ...ENDLESS, maxNewTokens: 300 });
    await holdAnswers(one);
    await one.getByRole("button", { name: "New conversation" }).click();
    await one.locator(".welcome").waitFor();
    await begin(one, STORY);
    // Opened while the other tab writes.
    await two.goto("about:blank");
    await two.goto(one.url());
    await untilReady(two);
    await two.locator(".message-answer[aria-busy=true]").waitFor();
    const before = (await answerText(two)).length;
    await letPiecesCome(one, 30);
    await two.waitForFunction(
      (length) => (document.querySelector(".message-answer .prose")?.textContent?.length ?? 0) > length,
      before,
    );
    expect(await two.getByLabel("Message", { exact: true }).getAttribute("placeholder")).toMatch(/Another tab/);
    await one.close();
    await two.locator(".message-problem").waitFor();
    expect(await two.locator(".message-problem").textContent()).toMatch(/closed|reloaded/);
    expect((await answerText(two)).length).toBeGreaterThanOrEqual(before);
  });
});
