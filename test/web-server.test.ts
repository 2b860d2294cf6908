/** @file The page against our own server: the same answers as in the tab, stopped, cut off, and with a key. */
import type { Browser, BrowserContext } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { segmentsOf } from "../src/cache/segments.ts";
import { allocatedBytes, collect, parseKvSpec } from "../src/index.ts";
import { builtWebFiles } from "../src/node/web-files.ts";
import { formatBytes } from "../web/src/ui/format.ts";
import { findChromium, skipReason } from "./support/optional.ts";
import { startServer, type TestServer, until } from "./support/server.ts";
import { type BuiltApp, buildWebApp, launchChromium } from "./support/web-app.ts";
import { answerEnd, answerText, PATIENCE_MS, say, untilReady } from "./support/web-page.ts";

const chromium = findChromium();
const skip = skipReason("browser", chromium !== undefined, "install chromium, or name one in CHROMIUM");

const FRANCE = "What is the capital of France?";

describe.skipIf(skip)(`the page of a server${skip ? ` (${skip})` : ""}`, () => {
  let app: BuiltApp;
  let browser: Browser;
  let server: TestServer | undefined;
  let context: BrowserContext | undefined;

  beforeAll(async () => {
    app = await buildWebApp();
    browser = await launchChromium(chromium!);
  });
  afterAll(async () => {
    await browser?.close();
    app?.dispose();
  });
  afterEach(async () => {
    await context?.close();
    await server?.stop();
    server = undefined;
  });

  /** engine: what is remembered of an earlier visit; null on a first one */
  async function visit(
    apiKeys: readonly string[] = [],
    settings: object = {},
    engine: object | null = { where: "server", model: "qwen3-1m", url: "" },
  ) {
    server = await startServer({
      model: "qwen3-1m",
      load: { kv: "k4v4" },
      server: { staticFiles: builtWebFiles(app.folder), apiKeys },
    });
    context = await browser.newContext({ serviceWorkers: "block" });
    const page = await context.newPage();
    page.setDefaultTimeout(PATIENCE_MS);
    await page.addInitScript(
      ([text, engine]) => {
        localStorage["turboquant.settings"] ??= text;
        if (engine) localStorage["turboquant.engine"] ??= engine;
      },
      [
        JSON.stringify({ maxNewTokens: 24, temperature: 0, seed: 0, system: "", ...settings }),
        engine && JSON.stringify(engine),
      ] as const,
    );
    await page.goto(`${server.url}/`);
    return { page, server };
  }

  it("opens with a model in the tab, talks to the server's when asked, and says what was cached there", async () => {
    const { page, server } = await visit([], {}, null);
    // What is asked before the model is there is answered when it is.
    await page.locator(".starter", { hasText: FRANCE }).click();
    await untilReady(page);
    expect(await answerEnd(page)).not.toBe("");
    await page.getByRole("button", { name: "New conversation" }).click();
    expect(await page.locator(".model-button").textContent()).toMatch(/qwen3-3mWASM/);
    expect(await page.getByRole("link", { name: "Report" }).count(), "there is none").toBe(0);
    await page.getByRole("button", { name: "Talk to qwen3-1m on the server" }).click();
    await page.locator(".model-place", { hasText: "server" }).waitFor();
    await untilReady(page);
    const messages = [{ role: "user", content: FRANCE }];
    const expected = await collect(server.llm.chat(messages, { maxNewTokens: 24, temperature: 0 }));
    expect(await say(page, FRANCE)).toBe(expected.text.trim());
    await say(page, "And of Spain?");
    const figures = await page.locator(".panel .figures-list").textContent();
    expect(figures).toMatch(/Prompt\d+ tokensOf these cached\d+ tokens/);
    expect(await page.locator(".figures").last().textContent()).toMatch(/[1-9]\d* tokens · k4v4/);
    await page.getByRole("link", { name: "Compare" }).click();
    await page.getByText("A server keeps one format.").waitFor();
  });

  it("shows the answer's cache by layer and segment, as the server's pages are", async () => {
    const { page, server } = await visit([], { maxNewTokens: 90 });
    await untilReady(page);
    expect(await page.locator(".panel .layers").count(), "nothing is shown before it is known").toBe(0);
    await say(page, FRANCE);
    const { entry } = server.scheduler.slots.all.find((slot) => slot.entry)!;
    const { length, numBytes } = entry!.sequence;
    expect(await page.locator(".panel .figure").textContent()).toBe(`${formatBytes(numBytes)} for ${length} tokens`);
    const f16 = allocatedBytes(server.llm.config, parseKvSpec("f16"), length);
    expect(await page.locator(".panel .headline").textContent()).toContain(formatBytes(f16));
    await page.locator(".layer-table summary").click();
    const rows = await page.locator(".layer-table tbody tr").allTextContents();
    const shown = (bytes: number): string => (bytes > 0 ? formatBytes(bytes) : "–");
    expect(rows).toEqual(
      segmentsOf(entry!.sequence).map(({ codes, scales, sinks, window }, layer) =>
        [layer, ...[codes, scales, sinks, window].map(shown), formatBytes(codes + scales + sinks + window)].join(""),
      ),
    );

    await page.getByRole("button", { name: "New conversation" }).click();
    await page.locator(".panel .layers").waitFor({ state: "detached" });
  });

  it("stops an answer there too, and keeps what was said when the server goes away", async () => {
    const { page, server } = await visit([], { maxNewTokens: 3000, temperature: 2 });
    await untilReady(page);
    const begin = async (count: number): Promise<void> => {
      await page.getByLabel("Message", { exact: true }).fill(FRANCE);
      await page.keyboard.press("Enter");
      await page.locator(".message-answer .prose").nth(count).waitFor();
    };
    await begin(0);
    await page.getByRole("button", { name: "Stop" }).click();
    await answerEnd(page);
    expect(await page.locator(".tag").textContent()).toBe("stopped");
    await until(() => server.scheduler.stats.running === 0, "the server stops as well");
    expect(await page.locator(".panel .layers").count(), "its cache is shown as last reported").toBe(1);

    await page.getByRole("button", { name: "New conversation" }).click();
    await begin(0);
    await server.stop();
    await page.locator(".message-problem").waitFor();
    expect((await answerText(page)).length).toBeGreaterThan(0);
    expect(await page.locator(".message-problem").textContent()).toMatch(/connection|server/);
  });

  it("asks for the key of a server that wants one", async () => {
    const { page } = await visit(["secret"], {}, null);
    // Without the key the page has models of its own.
    await untilReady(page);
    await page.locator(".model-button").click();
    await page.getByLabel("On a server").check();
    await page.getByText("wants another API key").waitFor();
    await page.getByLabel("API key").fill("secret");
    await page.getByRole("button", { name: "Connect" }).click();
    await page.locator(".model-choice", { hasText: "qwen3-1m" }).click();
    await page.locator(".model-place", { hasText: "server" }).waitFor();
    expect((await say(page, FRANCE)).length).toBeGreaterThan(0);
  });
});
