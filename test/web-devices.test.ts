/** @file The page on WebGPU (SwiftShader), when its device is lost, and as assistive technology sees it. */
import { createRequire } from "node:module";
import type { Browser, BrowserContext, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import "../src/node/install.ts";
import { collect, LLM } from "../src/index.ts";
import { findChromium, skipReason } from "./support/optional.ts";
import { type StaticServer, serveFolder } from "./support/static-server.ts";
import { type BuiltApp, buildWebApp, launchChromium } from "./support/web-app.ts";
import { answerText, openPage, say, untilReady } from "./support/web-page.ts";

const chromium = findChromium();
const skip = skipReason("browser", chromium !== undefined, "install chromium, or name one in CHROMIUM");

/** Kernels are compiled in software, twice. */
const DEVICE_TIMEOUT_MS = 600_000;
const FRANCE = "What is the capital of France?";
const axePath = createRequire(import.meta.url).resolve("axe-core/axe.min.js");

/** The process that holds the device ends, as when a driver crashes. */
async function killGpuProcess(browser: Browser): Promise<void> {
  const session = await browser.newBrowserCDPSession();
  const { processInfo } = await session.send("SystemInfo.getProcessInfo");
  await session.detach();
  const pids = processInfo.filter(({ type }) => type.toLowerCase() === "gpu").map(({ id }) => id);
  expect(pids).toHaveLength(1);
  process.kill(pids[0]!, "SIGKILL");
}

/** In the page: keeps everything that is said of the loading. */
function noteStatus(): void {
  const told = new Set<string>();
  Object.assign(globalThis, { told });
  new MutationObserver(() => {
    const text = document.querySelector(".load-status p:not(.load-plan)")?.textContent;
    if (text) told.add(text);
  }).observe(document, { subtree: true, childList: true, characterData: true });
}

interface Violation {
  readonly id: string;
  readonly impact: string | null;
  readonly nodes: readonly { readonly target: readonly unknown[]; readonly failureSummary?: string }[];
}

/** What axe finds that keeps people from using the page. */
async function violations(page: Page): Promise<string[]> {
  if (!(await page.evaluate(() => "axe" in globalThis))) await page.addScriptTag({ path: axePath });
  // Colours that fade in are judged when they are there.
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
  const found = await page.evaluate(async () => {
    const { axe } = globalThis as unknown as { axe: { run(): Promise<{ violations: Violation[] }> } };
    return (await axe.run()).violations;
  });
  return found
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .map(({ id, nodes }) => `${id}: ${nodes.map((n) => `${n.target.join(" ")} ${n.failureSummary ?? ""}`).join("; ")}`);
}

describe.skipIf(skip)(`the page on devices${skip ? ` (${skip})` : ""}`, () => {
  let app: BuiltApp;
  let server: StaticServer;
  let browser: Browser;
  let context: BrowserContext | undefined;

  beforeAll(async () => {
    app = await buildWebApp();
    server = await serveFolder(app.folder);
    browser = await launchChromium(chromium!, { webgpu: true });
  });
  afterAll(async () => {
    await browser?.close();
    await server?.close();
    app?.dispose();
  });
  afterEach(async () => {
    await context?.close();
  });

  it(
    "answers on WebGPU, loses its device, says so, comes back, and goes on with the conversation",
    async () => {
      context = await browser.newContext();
      await context.addInitScript(noteStatus);
      const { page } = await openPage(context, server.url, { backend: "webgpu", maxNewTokens: 6 });
      const told = await page.evaluate(() => [...(globalThis as unknown as { told: Set<string> }).told]);
      expect(told).toContainEqual(expect.stringMatching(/^Compiling GPU kernels, \d+ of [1-9]\d*$/));
      expect(await page.locator(".model-place").textContent()).toBe("WebGPU");
      await using llm = await LLM.load("qwen3-1m", { kv: "k4v4", threads: 1, backend: "wasm" });
      const expected = await collect(
        llm.chat([{ role: "user", content: FRANCE }], { maxNewTokens: 6, temperature: 0 }),
      );
      expect(await say(page, FRANCE)).toBe(expected.text.trim());

      await killGpuProcess(browser);
      await say(page, "And of Spain?");
      const banner = page.getByRole("alert");
      await banner.getByText("The graphics device was lost and is back.").waitFor();
      await untilReady(page);
      expect(await page.locator(".message-problem").textContent()).toContain("device was lost");
      expect(await page.locator(".message").count()).toBe(4);
      await banner.getByRole("button", { name: "Dismiss" }).click();
      await page.getByRole("button", { name: "Answer again" }).last().click();
      await page.locator(".message-answer[aria-busy=false] .prose").nth(1).waitFor();
      expect((await answerText(page)).length).toBeGreaterThan(0);
    },
    DEVICE_TIMEOUT_MS,
  );

  it.each(["light", "dark"] as const)("has no serious fault for assistive technology, %s", async (colorScheme) => {
    context = await browser.newContext({ colorScheme, viewport: { width: 1280, height: 860 } });
    const { page, errors } = await openPage(context, server.url);
    expect(await violations(page), "before the first message").toEqual([]);
    await say(page, FRANCE);
    await page.getByText("As a table").click();
    expect(await violations(page), "a conversation").toEqual([]);
    await page.locator(".model-button").click();
    await page.getByRole("dialog", { name: "Model" }).waitFor();
    expect(await violations(page), "choosing a model").toEqual([]);
    await page.getByLabel("On a server").check();
    await page.locator(".dialog .problem").waitFor();
    expect(await violations(page), "choosing a server").toEqual([]);
    await page.keyboard.press("Escape");
    await page.getByRole("button", { name: "Settings" }).click();
    await page.getByRole("dialog", { name: "Settings" }).waitFor();
    expect(await violations(page), "settings").toEqual([]);
    await page.keyboard.press("Escape");
    await page.getByRole("link", { name: "Compare" }).click();
    await page.getByLabel("Prompt").fill("Once upon a time there was a little girl who lived");
    await page.getByLabel("Tokens").selectOption("16");
    await page.getByRole("button", { name: "Compare" }).click();
    await page.locator(".column[aria-busy=false]").nth(2).waitFor();
    expect(await violations(page), "a comparison").toEqual([]);
    await page.getByRole("link", { name: "Plan" }).click();
    await page.locator(".plan-table").waitFor();
    expect(await violations(page), "a plan").toEqual([]);
    await page.setViewportSize({ width: 390, height: 844 });
    expect(await violations(page), "a plan on a phone").toEqual([]);
    await page.getByRole("button", { name: "Menu" }).click();
    await page.getByRole("dialog", { name: "TurboQuant" }).waitFor();
    expect(await violations(page), "the menu of a phone").toEqual([]);
    await page.getByRole("link", { name: "Chat" }).click();
    await page.getByRole("button", { name: /^KV cache/ }).click();
    await page.getByRole("dialog", { name: "KV cache" }).waitFor();
    expect(await violations(page), "the memory on a phone").toEqual([]);
    expect(errors.filter((text) => !text.includes("404"))).toEqual([]);
  });

  it("can be used with the keyboard alone", async () => {
    context = await browser.newContext();
    const { page } = await openPage(context, server.url);
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
    await page.keyboard.type(FRANCE);
    await page.keyboard.press("Enter");
    await page.locator(".message-answer[aria-busy=false]").waitFor();
    expect(await answerText(page)).not.toBe("");
  });
});
