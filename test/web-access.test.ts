/** @file The page in small windows and enlarged, with less motion, and every finding of axe, moderate ones too. */
import { createRequire } from "node:module";
import type { Browser, BrowserContext, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { findChromium, skipReason } from "./support/optional.ts";
import { type StaticServer, serveFolder } from "./support/static-server.ts";
import { type BuiltApp, buildWebApp, launchChromium } from "./support/web-app.ts";
import { openPage, say } from "./support/web-page.ts";

const chromium = findChromium();
const skip = skipReason("browser", chromium !== undefined, "install chromium, or name one in CHROMIUM");
const axePath = createRequire(import.meta.url).resolve("axe-core/axe.min.js");

interface Violation {
  readonly id: string;
  readonly impact: string | null;
  readonly nodes: readonly { readonly target: readonly unknown[] }[];
}

/** Of any weight. */
async function findings(page: Page): Promise<string[]> {
  if (!(await page.evaluate(() => "axe" in globalThis))) await page.addScriptTag({ path: axePath });
  const found = await page.evaluate(async () => {
    const { axe } = globalThis as unknown as { axe: { run(): Promise<{ violations: Violation[] }> } };
    return (await axe.run()).violations;
  });
  return found.map(
    ({ id, impact, nodes }) => `${impact} ${id}: ${nodes.map(({ target }) => target.join(" ")).join("; ")}`,
  );
}

describe.skipIf(skip)(`the page for everyone${skip ? ` (${skip})` : ""}`, () => {
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

  it("gives axe nothing to find, not even of moderate weight", async () => {
    context = await browser.newContext({ viewport: { width: 1280, height: 860 }, reducedMotion: "reduce" });
    const { page } = await openPage(context, server.url);
    expect(await findings(page), "the welcome").toEqual([]);
    await say(page, "What is the capital of France?");
    expect(await findings(page), "a conversation").toEqual([]);
    await page.getByRole("button", { name: "Answer again" }).click();
    await page.locator(".versions").waitFor();
    await page.getByRole("button", { name: /^Rename/ }).click();
    expect(await findings(page), "versions, and a name that is changed").toEqual([]);
    await page.keyboard.press("Escape");
    for (const view of ["Compare", "Plan"]) {
      await page.getByRole("link", { name: view }).click();
      await page.locator("h1", { hasText: view }).waitFor();
      if (view === "Plan") await page.locator(".plan-table").waitFor();
      expect(await findings(page), view).toEqual([]);
    }
    await page.goto(`${server.url}#/report`);
    await page.locator("h1", { hasText: "Report" }).waitFor();
    expect(await findings(page), "no report").toEqual([]);
  });

  it.each([
    ["a phone", 390, 780],
    ["a phone on its side", 780, 390],
    ["enlarged to 200 %", 640, 400],
    ["enlarged to 400 %", 320, 256],
  ])("%s: opens with its headline in sight, the field in reach, and nothing cut off", async (_, width, height) => {
    context = await browser.newContext({ viewport: { width, height } });
    const { page } = await openPage(context, server.url);
    const headline = (await page.locator("h1").boundingBox())!;
    expect(headline.y).toBeGreaterThanOrEqual(0);
    expect(headline.y).toBeLessThan(height / 2);
    const field = (await page.locator("#composer-input").boundingBox())!;
    expect(field.y + field.height).toBeLessThanOrEqual(height);
    const overflow = (): Promise<number> =>
      page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    expect(await overflow(), "the chat").toBeLessThanOrEqual(0);
    await say(page, "What is the capital of France?");
    expect(await overflow(), "a conversation").toBeLessThanOrEqual(0);
    for (const view of ["plan", "compare"]) {
      await page.goto(`${server.url}#/${view}`);
      await page.locator("h1", { hasText: new RegExp(view, "i") }).waitFor();
      if (view === "plan") {
        await page.locator(".plan-table").waitFor();
        const longest = (await page.getByRole("columnheader", { name: "Longest context" }).boundingBox())!;
        if (width <= 520 && width >= 390)
          expect(longest.x + longest.width, "the answer is on the screen").toBeLessThanOrEqual(width);
      }
      expect(await overflow(), view).toBeLessThanOrEqual(0);
    }
  });

  it("stands still where less motion is asked for", async () => {
    context = await browser.newContext({ reducedMotion: "reduce" });
    const { page } = await openPage(context, server.url, { maxNewTokens: 200, temperature: 2 });
    await page.getByLabel("Message", { exact: true }).fill("Tell me a story of the sea.");
    await page.keyboard.press("Enter");
    await page.locator(".message-answer").waitFor();
    const endless = await page.evaluate(
      () =>
        document
          .getAnimations()
          .filter(({ effect }) => effect?.getComputedTiming().iterations === Number.POSITIVE_INFINITY).length,
    );
    expect(endless).toBe(0);
    const waiting = await page.evaluate(() => {
      const mark = document.querySelector(".messages")!.appendChild(document.createElement("p"));
      mark.className = "waiting";
      const { animationIterationCount } = getComputedStyle(mark, "::before");
      mark.remove();
      return animationIterationCount;
    });
    expect(waiting).toBe("1");
  });

  it("leads back to the end after scrolling up, and its bars have the colour of the theme that is chosen", async () => {
    context = await browser.newContext({ viewport: { width: 900, height: 420 }, colorScheme: "light" });
    const { page } = await openPage(context, server.url, { maxNewTokens: 4 });
    await say(page, "Tell me of the sea. ".repeat(60));
    await page.getByRole("button", { name: /Show all/ }).click();
    const scroller = page.locator(".chat-scroll");
    await scroller.evaluate((element) => {
      element.scrollTop = 0;
    });
    await page.getByRole("button", { name: "To the end" }).click();
    await page.getByRole("button", { name: "To the end" }).waitFor({ state: "detached" });
    const away = await scroller.evaluate(
      ({ scrollHeight, scrollTop, clientHeight }) => scrollHeight - scrollTop - clientHeight,
    );
    expect(away).toBeLessThan(80);
    const colour = (): Promise<string | null> => page.locator('meta[name="theme-color"]').getAttribute("content");
    const light = await colour();
    await page.getByRole("button", { name: /^Theme/ }).click();
    await page.getByRole("button", { name: /^Theme: light/ }).click();
    await page.getByRole("button", { name: /^Theme: dark/ }).waitFor();
    expect(await colour()).not.toBe(light);
  });

  it("breaks the line with Enter where there is no Shift, and sends with it elsewhere", async () => {
    context = await browser.newContext({ viewport: { width: 390, height: 780 }, hasTouch: true, isMobile: true });
    const { page } = await openPage(context, server.url);
    const field = page.locator("#composer-input");
    expect(await field.getAttribute("enterkeyhint")).toBe("enter");
    await field.fill("One");
    await field.press("Enter");
    await field.pressSequentially("Two");
    expect(await field.inputValue()).toBe("One\nTwo");
    const button = (await page.getByRole("button", { name: "Send" }).boundingBox())!;
    expect(Math.min(button.width, button.height)).toBeGreaterThanOrEqual(44);
    await page.getByRole("button", { name: "Send" }).click();
    await page.locator(".message-answer[aria-busy=false]").waitFor();
  });
});
