/** @file A stranger's walk: from `turboquant serve` to an answer about a dropped document of thirty pages, and again tomorrow. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type BrowserContext, chromium as playwright } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { DEFAULT_PROMPT } from "../src/cli/default-prompt.ts";
import { builtWebFiles } from "../src/node/web-files.ts";
import { findChromium, skipReason, WITHOUT_ADDRESS_BAR } from "./support/optional.ts";
import { writePdf } from "./support/pdf-file.ts";
import { startServer, type TestServer } from "./support/server.ts";
import { type BuiltApp, buildWebApp } from "./support/web-app.ts";
import { PATIENCE_MS, say, untilReady } from "./support/web-page.ts";

const chromium = findChromium();
const skip = skipReason("browser", chromium !== undefined, "install chromium, or name one in CHROMIUM");

const CODE = "The secret code of the old mill is 73165. Remember it.";
const QUESTION = "What is the secret code of the old mill?";
const PAGES = 30;

/** Thirty pages of the story's sentences without its codes, and one code on page 17. */
function thirtyPages(): string[] {
  const prose = DEFAULT_PROMPT.split("\n").filter((line) => !/secret code/.test(line));
  const sentences = prose.join(" ").split(/(?<=[.;]) /);
  return Array.from({ length: PAGES }, (_, page) => {
    const text = sentences[page % sentences.length]!;
    return page === 16 ? `${text}\n${CODE}` : text;
  });
}

describe.skipIf(skip)(`the walk of a stranger${skip ? ` (${skip})` : ""}`, () => {
  let app: BuiltApp;
  let server: TestServer;
  let profile: string;
  let context: BrowserContext | undefined;

  beforeAll(async () => {
    app = await buildWebApp();
    profile = mkdtempSync(join(tmpdir(), "turboquant-profile-"));
    server = await startServer({
      model: "qwen3-3m",
      load: { kv: "k4v4" },
      server: { staticFiles: builtWebFiles(app.folder) },
    });
  });
  afterAll(async () => {
    await context?.close();
    await server?.stop();
    app?.dispose();
    if (profile) rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
  });

  /** A browser that is started with what it kept the last time. */
  async function visit() {
    context = await playwright.launchPersistentContext(profile, {
      executablePath: chromium!,
      headless: true,
      args: ["--no-sandbox", "--disable-gpu", "--disable-quic", WITHOUT_ADDRESS_BAR],
    });
    const page = await context.newPage();
    page.setDefaultTimeout(PATIENCE_MS);
    const errors: string[] = [];
    page.on("pageerror", (error) => errors.push(String(error)));
    await page.goto(`${server.url}/`);
    await untilReady(page);
    return { page, errors };
  }

  it("drops a document, sees what it takes, asks, and goes on another day without reading it again", async () => {
    const { page, errors } = await visit();
    expect(await page.locator(".model-place").textContent(), "a model in the tab, unasked").toMatch(/WASM/);
    await page.evaluate(
      (bytes) => {
        const transfer = new DataTransfer();
        transfer.items.add(new File([new Uint8Array(bytes)], "history.pdf", { type: "application/pdf" }));
        document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true }));
      },
      [...writePdf(thirtyPages())],
    );
    await page.getByText("history.pdf, 30 pages").waitFor();
    await page.locator(".length").waitFor();
    expect(await page.locator(".length").textContent()).toMatch(/^1,\d{3} of 4,096 tokens; every format holds it$/);
    const answer = await say(page, QUESTION);
    expect(answer).toContain("73165");
    await page.locator(".panel").getByText("Kept in this browser").waitFor();
    const tokens = /for [\d,]+ tokens/.exec((await page.locator(".panel .figure").textContent()) ?? "")![0];
    await context!.close();

    const { page: later, errors: laterErrors } = await visit();
    await later.locator(".message-user .attachment-text", { hasText: "history.pdf, 30 pages" }).waitFor();
    await later.locator(".panel .figure-beside", { hasText: tokens }).waitFor();
    await say(later, QUESTION);
    // Only the new question was read.
    const read = await later.evaluate(async () => {
      const open = await new Promise<IDBDatabase>((resolve) => {
        const request = indexedDB.open("turboquant");
        request.onsuccess = () => resolve(request.result);
      });
      const all = await new Promise<{ messages: { figures?: { promptTokens: number; cachedTokens: number } }[] }[]>(
        (resolve) => {
          const request = open.transaction("conversations").objectStore("conversations").getAll();
          request.onsuccess = () => resolve(request.result);
        },
      );
      const { promptTokens, cachedTokens } = all[0]!.messages.at(-1)!.figures!;
      return promptTokens - cachedTokens;
    });
    expect(read).toBeLessThan(200);
    expect([...errors, ...laterErrors]).toEqual([]);
  });
});
