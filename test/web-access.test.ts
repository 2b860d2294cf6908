/** @file The page in small windows and enlarged, with less motion, and every finding of axe, moderate ones too. */
import { createRequire } from "node:module";
import type { Browser, BrowserContext, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { onePage } from "./support/one-page.ts";
import { findChromium, skipReason } from "./support/optional.ts";
import { type StaticServer, serveFolder } from "./support/static-server.ts";
import { type BuiltApp, buildWebApp, launchChromium } from "./support/web-app.ts";
import { answerText, openPage, say } from "./support/web-page.ts";

const chromium = findChromium();
const skip = skipReason("browser", chromium !== undefined, "install chromium, or name one in CHROMIUM");
const axePath = createRequire(import.meta.url).resolve("axe-core/axe.min.js");

interface Violation {
  readonly id: string;
  readonly impact: string | null;
  readonly nodes: readonly { readonly target: readonly unknown[]; readonly failureSummary?: string }[];
}

/** Colours that fade in are judged when they are there. */
async function settle(page: Page): Promise<void> {
  await page.evaluate(async () => {
    const ends = ({ effect }: Animation): boolean => effect?.getComputedTiming().endTime !== Number.POSITIVE_INFINITY;
    for (;;) {
      const running = document
        .getAnimations()
        .filter((animation) => animation.playState === "running" && ends(animation));
      if (running.length === 0) return;
      await Promise.allSettled(running.map(({ finished }) => finished));
    }
  });
}

/** Of any weight, in the light and in the dark. */
async function findings(page: Page): Promise<string[]> {
  if (!(await page.evaluate(() => "axe" in globalThis))) await page.addScriptTag({ path: axePath });
  const all: string[] = [];
  for (const colorScheme of ["light", "dark"] as const) {
    await page.emulateMedia({ colorScheme });
    await settle(page);
    const found = await page.evaluate(
      async (rules) => {
        const { axe } = globalThis as unknown as {
          axe: { run(options?: object): Promise<{ violations: Violation[] }> };
        };
        return (await axe.run(rules)).violations;
        // Only colours depend on the scheme.
      },
      {
        // What passes is only counted.
        resultTypes: ["violations"],
        ...(colorScheme === "dark" && { runOnly: ["color-contrast", "link-in-text-block"] }),
      },
    );
    for (const { id, impact, nodes } of found) {
      const where = nodes.map((n) => `${n.target.join(" ")} ${n.failureSummary ?? ""}`).join("; ");
      all.push(`${colorScheme}: ${impact} ${id}: ${where}`);
    }
  }
  return all;
}

/** Buttons and links that a finger may miss: less than 44 pixels wide or high. Words within a text are as high as their line. */
const smallTargets = (page: Page): Promise<string[]> =>
  page.locator("button:visible:not(.term, .link-button), a:visible:not(.skip-link)").evaluateAll((targets) =>
    targets.flatMap((target) => {
      const { width, height } = target.getBoundingClientRect();
      const name = target.getAttribute("aria-label") ?? target.textContent;
      return Math.min(width, height) < 43.5 ? [`${name}: ${Math.round(width)} × ${Math.round(height)}`] : [];
    }),
  );

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

  const opened = onePage(async () => openPage(await browser.newContext({ serviceWorkers: "block" }), server.url));

  it("gives axe nothing to find, not even of moderate weight, in the light and in the dark", async () => {
    const { page, errors } = await opened();
    await page.setViewportSize({ width: 1280, height: 860 });
    await page.emulateMedia({ reducedMotion: "reduce" });
    expect(await findings(page), "the welcome").toEqual([]);
    await say(page, "What is the capital of France?");
    await page.getByText("As a table").click();
    expect(await findings(page), "a conversation").toEqual([]);
    await page.getByRole("button", { name: "Answer again" }).click();
    await page.locator(".versions").waitFor();
    await page.getByRole("button", { name: /^Rename/ }).click();
    expect(await findings(page), "versions, and a name that is changed").toEqual([]);
    await page.keyboard.press("Escape");
    await page.locator(".model-button").click();
    await page.getByRole("dialog", { name: "Model" }).waitFor();
    expect(await findings(page), "choosing a model").toEqual([]);
    await page.getByLabel("On a server").check();
    await page.locator(".dialog .problem").waitFor();
    expect(await findings(page), "choosing a server").toEqual([]);
    await page.keyboard.press("Escape");
    await page.getByRole("button", { name: "Settings" }).click();
    await page.getByRole("dialog", { name: "Settings" }).waitFor();
    expect(await findings(page), "settings").toEqual([]);
    await page.keyboard.press("Escape");
    await page.getByRole("link", { name: "Compare" }).click();
    await page.getByLabel("Prompt").fill("Once upon a time there was a little girl who lived");
    await page.getByLabel("Tokens").selectOption("16");
    await page.getByRole("button", { name: "Compare" }).click();
    await page.locator(".column[aria-busy=false]").nth(2).waitFor();
    expect(await findings(page), "a comparison").toEqual([]);
    await page.getByRole("link", { name: "Plan" }).click();
    await page.locator(".plan-table").waitFor();
    expect(await findings(page), "a plan").toEqual([]);
    await page.setViewportSize({ width: 390, height: 844 });
    expect(await findings(page), "a plan on a phone").toEqual([]);
    await page.getByRole("button", { name: "Menu" }).click();
    await page.getByRole("dialog", { name: "TurboQuant" }).waitFor();
    expect(await findings(page), "the menu of a phone").toEqual([]);
    await page.getByRole("link", { name: "Chat" }).click();
    await page.getByRole("button", { name: /^KV cache/ }).click();
    await page.getByRole("dialog", { name: "KV cache" }).waitFor();
    expect(await findings(page), "the memory on a phone").toEqual([]);
    await page.goto(`${server.url}#/report`);
    await page.locator("h1", { hasText: "Report" }).waitFor();
    expect(await findings(page), "no report").toEqual([]);
    expect(errors.filter((text) => !text.includes("404"))).toEqual([]);
  });

  describe("in windows of any size", () => {
    it.each([
      ["a phone", 390, 780],
      ["a phone on its side", 780, 390],
      ["enlarged to 200 %", 640, 400],
      ["enlarged to 400 %", 320, 256],
    ])("%s: the headline in sight, the field in reach, and nothing cut off", async (_, width, height) => {
      const { page } = await opened();
      await page.setViewportSize({ width, height });
      // No conversation has this address: the page is as it opens.
      await page.goto(`${server.url}#/chat/none${width}`);
      await page.locator(".welcome").waitFor();
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
  });

  it("stands still where less motion is asked for", async () => {
    const { page } = await opened({ maxNewTokens: 200, temperature: 2 });
    await page.emulateMedia({ reducedMotion: "reduce" });
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
    const { page } = await opened({ maxNewTokens: 4 });
    await page.setViewportSize({ width: 900, height: 420 });
    await page.emulateMedia({ colorScheme: "light" });
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
    await page.getByRole("button", { name: /^Theme: dark/ }).click();
  });

  it("breaks the line with Enter where there is no Shift, and sends with it elsewhere", async () => {
    context = await browser.newContext({
      ...{ viewport: { width: 390, height: 780 }, hasTouch: true, isMobile: true, serviceWorkers: "block" },
    });
    const { page } = await openPage(context, server.url);
    const field = page.locator("#composer-input");
    expect(await field.getAttribute("enterkeyhint")).toBe("enter");
    await field.fill("One");
    await field.press("Enter");
    await field.pressSequentially("Two");
    expect(await field.inputValue()).toBe("One\nTwo");
    expect(await smallTargets(page), "before anything is said").toEqual([]);
    await page.getByRole("button", { name: "Send" }).click();
    await page.locator(".message-answer[aria-busy=false]").waitFor();
    expect(await smallTargets(page), "a conversation").toEqual([]);
    await page.getByRole("button", { name: "Menu" }).click();
    await page.getByRole("dialog", { name: "TurboQuant" }).waitFor();
    expect(await smallTargets(page), "the menu").toEqual([]);
  });

  it("can be used with the keyboard alone", async () => {
    const { page } = await opened();
    await page.locator("button, a, input, textarea").first().focus();
    expect(await page.evaluate(() => document.activeElement?.textContent)).toBe("Skip to content");
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => document.activeElement?.id === "main");
    await page.keyboard.press("Tab");
    await page.keyboard.press("Enter");
    await page.getByRole("dialog", { name: "Model" }).waitFor();
    await page.keyboard.press("Escape");
    await page.waitForFunction(() => document.activeElement?.className === "model-button");
    // Before the next paint: a key pressed at once goes where the focus belongs.
    const focused = await page.evaluate(async () => {
      const seen = [document.activeElement?.className];
      const wait = async (): Promise<void> => {
        for (let i = 0; i < 8; i++) await Promise.resolve();
      };
      document.querySelector<HTMLElement>(".model-button")!.click();
      await wait();
      seen.push(document.activeElement?.closest("dialog")?.open ? "in the dialog" : "outside");
      document.querySelector("dialog")!.dispatchEvent(new Event("cancel", { cancelable: true }));
      await wait();
      return [...seen, document.activeElement?.className];
    });
    expect(focused).toEqual(["model-button", "in the dialog", "model-button"]);
    await page.locator("#composer-input").focus();
    await page.keyboard.type("What is the capital of France?");
    await page.keyboard.press("Enter");
    await page.locator(".message-answer[aria-busy=false]").waitFor();
    expect(await answerText(page)).not.toBe("");
  });
});
