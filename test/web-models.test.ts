/** @file Models from the web: fetched in ranges, kept in the browser, resumed, opened without a network, deleted; what fails keeps the model that works. */
import { writeFileSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { join } from "node:path";
import type { Browser, BrowserContext, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { writeGguf } from "./support/gguf-file.ts";
import { folderAsGguf } from "./support/gguf-model.ts";
import { onePage } from "./support/one-page.ts";
import { findChromium, skipReason } from "./support/optional.ts";
import { checkpointPath } from "./support/shared.ts";
import { type StaticServer, serveFolder } from "./support/static-server.ts";
import { type BuiltApp, buildWebApp, launchChromium } from "./support/web-app.ts";
import { openPage, say, untilReady, useModel } from "./support/web-page.ts";

const chromium = findChromium();
const skip = skipReason("browser", chromium !== undefined, "install chromium, or name one in CHROMIUM");

describe.skipIf(skip)(`models that the page fetches${skip ? ` (${skip})` : ""}`, () => {
  let app: BuiltApp;
  let server: StaticServer;
  let browser: Browser;
  let context: BrowserContext | undefined;
  let file: Uint8Array;
  /** Bytes of the model that were sent, and what happens to a request for them. */
  let sent = 0;
  let answer: (response: ServerResponse, body: Uint8Array) => void;

  const whole = (response: ServerResponse, body: Uint8Array): void => void response.end(body);

  /** A server that knows ranges. */
  function serveModel(request: IncomingMessage, response: ServerResponse): boolean {
    if (!/^\/models\/lamp\d*\.gguf$/.test(request.url!)) return false;
    const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? "") ?? [];
    const start = Number(from ?? 0);
    const end = to === undefined ? file.length : Math.min(Number(to) + 1, file.length);
    const body = file.subarray(start, end);
    sent += body.length;
    response.writeHead(206, {
      "content-type": "application/octet-stream",
      "content-length": body.length,
      "content-range": `bytes ${start}-${end - 1}/${file.length}`,
    });
    answer(response, body);
    return true;
  }

  beforeAll(async () => {
    app = await buildWebApp();
    file = writeGguf(await folderAsGguf(checkpointPath("qwen3-1m")!, { name: "Lamp 1M" }));
    server = await serveFolder(app.folder, { handle: serveModel });
    browser = await launchChromium(chromium!);
    writeFileSync(join(app.folder, "broken.gguf"), file.subarray(0, 200_000));
  });
  afterAll(async () => {
    await browser?.close();
    await server?.close();
    app?.dispose();
  });
  beforeEach(() => {
    sent = 0;
    answer = whole;
  });
  afterEach(async () => {
    await context?.close();
  });

  const opened = onePage(async () => openPage(await browser.newContext({ serviceWorkers: "block" }), server.url));
  const choose = async (page: Page, ref: string): Promise<void> => {
    await page.locator(".model-button").click();
    await page.getByLabel("From the web").fill(ref);
    await page.getByRole("button", { name: "Load", exact: true }).click();
  };
  /** The same model under other names is fetched anew. */
  const lamp = (name = "lamp"): string => `${server.url}models/${name}.gguf`;
  const isLoaded = async (page: Page): Promise<void> => {
    await page.locator(".model-name", { hasText: "Lamp 1M" }).waitFor();
    await untilReady(page);
  };

  it("one is fetched once, opens again from what is kept, also when its server is gone, and can be deleted", async () => {
    context = await browser.newContext({ serviceWorkers: "block" });
    const { page, errors } = await openPage(context, server.url);
    await choose(page, lamp());
    await isLoaded(page);
    expect(sent).toBeGreaterThan(file.length * 0.9);
    expect(sent, "nothing is fetched twice").toBeLessThan(file.length * 1.1 + 200_000);
    const said = await say(page, "What is the capital of France?");
    // The description is written a moment after the last part.
    await page.waitForTimeout(2500);
    sent = 0;
    answer = (response) => response.destroy();
    await page.reload();
    await isLoaded(page);
    expect(sent).toBe(0);
    await page.getByRole("button", { name: "New conversation" }).click();
    expect(await say(page, "What is the capital of France?")).toBe(said);
    expect(errors.filter((error) => !/ERR_|Failed to load/.test(error))).toEqual([]);

    await page.locator(".model-button").click();
    expect(await page.locator(".kept-model").textContent()).toMatch(/lamp\.gguf[\d.]+ MB$/);
    await page.getByRole("button", { name: "Delete lamp.gguf from this browser" }).click();
    await page.locator(".kept-model").waitFor({ state: "detached" });
    await page.keyboard.press("Escape");
    await page.reload();
    await page.locator(".model-name", { hasText: "qwen3-3m" }).waitFor();
    expect(sent, "what is not kept is not fetched unasked").toBe(0);
  });

  it("a download that breaks leaves the model that works, says why, and goes on where it ended", async () => {
    const { page } = await opened();
    await useModel(page, "qwen3-1m");
    let requests = 0;
    // The first parts come, then the line is dead.
    answer = (response, body) => (++requests <= 4 ? whole(response, body) : response.destroy());
    await choose(page, lamp("lamp2"));
    await page.locator(".banner-bad").waitFor();
    expect(await page.locator(".banner-bad").textContent()).toMatch(/could not be loaded; qwen3-1m goes on/);
    expect((await say(page, "What is the capital of France?")).length).toBeGreaterThan(0);
    const before = sent;
    await page.waitForTimeout(2500);
    answer = whole;
    sent = 0;
    await page.locator(".model-button").click();
    const kept = page.locator(".kept-model", { hasText: "lamp2" });
    expect(await kept.textContent()).toMatch(/goes on where it ended/);
    await kept.locator(".model-choice").click();
    await isLoaded(page);
    expect(before).toBeGreaterThan(0);
    expect(sent, "only what was missing").toBeLessThan(file.length);
  });

  it("loading that is cancelled, and a file that is broken, leave the model that works", async () => {
    const { page } = await opened();
    await useModel(page, "qwen3-1m");
    answer = () => {};
    await choose(page, lamp("lamp3"));
    await page.getByRole("button", { name: "Cancel" }).click();
    await untilReady(page);
    expect(await page.locator(".model-name").textContent()).toBe("qwen3-1m");
    expect((await say(page, "What is the capital of France?")).length).toBeGreaterThan(0);
    await choose(page, `${server.url}broken.gguf`);
    await page.locator(".banner-bad").waitFor();
    expect(await page.locator(".banner-bad").textContent()).toMatch(/broken\.gguf.*truncated/);
    expect((await say(page, "And of Spain?")).length).toBeGreaterThan(0);
  });

  it("a catalogue names models with their sizes and whether they fit", async () => {
    const { page } = await opened();
    await page.locator(".model-button").click();
    const rows = await page.locator(".model-choice", { hasText: /about/ }).allTextContents();
    expect(rows.length).toBeGreaterThanOrEqual(5);
    for (const row of rows) expect(row).toMatch(/about [\d.]+ [MG]B (fits this device|too large|tried when)/);
    await page.keyboard.press("Escape");
  });

  it("requests that are cut now and then are made again", async () => {
    const { page } = await opened();
    await useModel(page, "qwen3-1m");
    let requests = 0;
    answer = (response, body) => {
      if (++requests % 3 !== 0) return whole(response, body);
      response.write(body.subarray(0, body.length >> 1), () => response.destroy());
    };
    await choose(page, lamp("lamp4"));
    await isLoaded(page);
    expect(requests).toBeGreaterThan(3);
  });
});
