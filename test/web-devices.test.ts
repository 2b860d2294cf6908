/** @file The page on WebGPU (SwiftShader), and when its device is lost. */
import type { Browser, BrowserContext } from "playwright-core";
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
      context = await browser.newContext({ serviceWorkers: "block" });
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
});
