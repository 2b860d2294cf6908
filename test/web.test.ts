/** @file The page in a real browser: the engine in the tab, comparison, saved caches, reloads, no network. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import type { Browser, BrowserContext } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import "../src/node/install.ts";
import { formatBytes } from "../src/format-number.ts";
import { collect, LLM } from "../src/index.ts";
import { modelOfConfig, planMemory, shapeConfig } from "../src/plan/index.ts";
import { writeGguf } from "./support/gguf-file.ts";
import { folderAsGguf, splitFile } from "./support/gguf-model.ts";
import { onePage } from "./support/one-page.ts";
import { findChromium, skipReason } from "./support/optional.ts";
import { checkpointPath } from "./support/shared.ts";
import { type StaticServer, serveFolder } from "./support/static-server.ts";
import { type BuiltApp, buildWebApp, launchChromium, pageScripts } from "./support/web-app.ts";
import {
  answerEnd,
  answerText,
  openPage,
  type Settings,
  say,
  untilReady,
  useFormat,
  useModel,
} from "./support/web-page.ts";

const chromium = findChromium();
const skip = skipReason("browser", chromium !== undefined, "install chromium, or name one in CHROMIUM");

const FRANCE = "What is the capital of France?";
const STORY = "Once upon a time there was a little girl who lived";
/** Drawn this hot, with seed 0, the small model does not come to an end. */
const ENDLESS = { maxNewTokens: 2000, temperature: 2 };
/** Compressed. */
const SCRIPT_BUDGET_BYTES = 300_000;

describe.skipIf(skip)(`the page${skip ? ` (${skip})` : ""}`, () => {
  let app: BuiltApp;
  let server: StaticServer;
  let browser: Browser;
  let context: BrowserContext;
  let llm: LLM;

  beforeAll(async () => {
    app = await buildWebApp();
    server = await serveFolder(app.folder);
    browser = await launchChromium(chromium!);
    llm = await LLM.load("qwen3-1m", { kv: "k4v4", threads: 1, backend: "wasm" });
  });
  afterAll(async () => {
    await llm?.dispose();
    await browser?.close();
    await server?.close();
    app?.dispose();
  });
  afterEach(async () => {
    await context?.close();
  });

  const shared = onePage(async () => openPage(await browser.newContext({ serviceWorkers: "block" }), server.url));
  /** The one page of the file, with the small model in k4v4. */
  async function opened(settings: Settings = {}) {
    const page = await shared(settings);
    await useModel(page.page, "qwen3-1m");
    await useFormat(page.page, "k4v4");
    return page;
  }

  const chat = (content: string, maxNewTokens: number) =>
    collect(llm.chat([{ role: "user", content }], { maxNewTokens, temperature: 0 }));

  it("answers on WASM threads with the tokens that Node gives, and shows the cache as it is allocated", async () => {
    const { page, errors } = await opened();
    const expected = await chat(STORY, 24);
    expect(await say(page, STORY)).toBe(expected.text.trim());
    const session = llm.createSession();
    await collect(session.chat([{ role: "user", content: STORY }], { maxNewTokens: 24, temperature: 0 }));
    expect(await page.locator(".figure-beside").textContent()).toContain(`for ${session.sequence.length} tokens`);
    await page.getByText("As a table").click();
    expect(await page.locator(".layer-table tbody tr").count()).toBe(llm.config.numLayers);
    const shown = await page.locator(".figure").evaluate((node) => node.firstChild?.textContent);
    expect(shown).toBe(formatBytes(session.kvBytes));
    session.release();
    expect(await page.locator(".model-place").textContent()).toMatch(/WASM, \d+ threads?/);
    expect(errors).toEqual([]);
  });

  it("stops, answers again, and answers an edited message", async () => {
    const { page } = await opened(ENDLESS);
    await page.getByLabel("Message", { exact: true }).fill(STORY);
    await page.getByRole("button", { name: "Send" }).click();
    await page.locator(".message-answer .prose").waitFor();
    await page.getByRole("button", { name: "Stop" }).click();
    await answerEnd(page);
    expect(await page.locator(".tag").last().textContent()).toBe("stopped");
    const stopped = await answerText(page);
    expect(stopped).not.toBe("");
    await page.getByRole("button", { name: "Settings" }).click();
    await page.getByLabel("As the model's makers say").check();
    await page.keyboard.press("Escape");

    await page.getByRole("button", { name: "Edit" }).click();
    await page.getByLabel("Your message").fill(FRANCE);
    await page.getByLabel("Your message").press("Control+Enter");
    const first = await answerEnd(page);
    expect(first).toBe((await chat(FRANCE, 2000)).text.trim());
    await page.getByRole("button", { name: "Answer again" }).click();
    expect(await answerEnd(page)).toBe(first);
    expect(await page.locator(".message").count()).toBe(2);
  });

  it("keeps what was said when it is reloaded in the middle of an answer", async () => {
    const { page } = await opened(ENDLESS);
    await page.getByLabel("Message", { exact: true }).fill(STORY);
    await page.keyboard.press("Enter");
    await page.waitForFunction(() => (document.querySelector(".message-answer .prose")?.textContent?.length ?? 0) > 60);
    const before = await answerText(page);
    await page.reload();
    await page.locator(".message-answer").waitFor();
    const kept = await answerText(page);
    expect(kept.length).toBeGreaterThanOrEqual(before.length);
    expect(kept.startsWith(before)).toBe(true);
    expect(await page.locator(".message-problem").textContent()).toContain("reloaded");
    await untilReady(page);
    await page.getByRole("button", { name: "Settings" }).click();
    await page.getByLabel("Longest answer, in tokens").fill("8");
    await page.keyboard.press("Escape");
    expect((await say(page, FRANCE)).length).toBeGreaterThan(0);
    expect(await page.locator(".message").count()).toBe(4);
  });

  it("compares formats and marks the first token that differs, as Node finds it", async () => {
    const { page } = await opened();
    await page.getByRole("link", { name: "Compare" }).click();
    const formats = ["f16", "k4v4", "paper-4"];
    await page.getByLabel("Prompt").fill(STORY);
    for (const [i, kv] of formats.entries()) {
      await page.getByLabel(i === 0 ? "Format 1, the reference" : `Format ${i + 1}`).fill(kv);
    }
    await page.getByLabel("Tokens").selectOption("32");
    await page.getByRole("button", { name: "Compare" }).click();
    await page.locator(".column[aria-busy=false]").nth(2).waitFor();

    const runs = [];
    for (const kv of formats) {
      const view = await llm.withKv(kv);
      runs.push(await collect(view.generate(STORY, { maxNewTokens: 32, temperature: 0 })));
      await view.dispose();
    }
    const [f16, k4v4, paper] = runs as [(typeof runs)[0], (typeof runs)[0], (typeof runs)[0]];
    expect(k4v4.tokens).toEqual(f16.tokens);
    const at = paper.tokens.findIndex((token, i) => token !== f16.tokens[i]);
    expect(at).toBeGreaterThanOrEqual(0);
    expect(await page.getByRole("article", { name: "k4v4" }).locator(".verdict").textContent()).toBe(
      `The same ${f16.tokens.length} tokens`,
    );
    const column = page.getByRole("article", { name: "paper-4" });
    expect(await column.locator(".verdict").textContent()).toContain(`First difference at token ${at + 1}`);
    expect(await column.locator("mark").textContent()).toBe(llm.tokenizer.decode([paper.tokens[at]!]));
    expect(await column.locator(".column-text").textContent()).toBe(paper.text.trimStart());
    expect(await page.locator("mark").count()).toBe(1);
  });

  it("saves a cache that Node reads, and restores it on a page that knows nothing", async () => {
    const { page } = await opened();
    const answer = await say(page, STORY);
    const download = page.waitForEvent("download");
    await page.getByRole("button", { name: "Save cache" }).click();
    const bytes = readFileSync(await (await download).path());
    const session = llm.restore(bytes);
    expect(llm.tokenizer.decode(session.tokens)).toContain(answer);
    session.release();

    context = await browser.newContext({ serviceWorkers: "block" });
    const { page: other } = await openPage(context, server.url);
    const file = { name: "story.tqkv", mimeType: "application/octet-stream", buffer: bytes };
    await other.getByLabel("A saved cache").setInputFiles(file);
    await other.locator(".message-answer").waitFor();
    expect(await answerText(other)).toBe(answer);
    expect(await other.locator(".bubble").textContent()).toBe(STORY);
    await say(other, FRANCE);
    // The panel's line on the prompt is of what was not in the cache yet.
    const figures = await other.locator(".figures").last().textContent();
    expect(figures).toMatch(/tok\/s/);

    const damaged = Buffer.from(bytes);
    damaged[damaged.length >> 1]! ^= 1;
    await other.getByLabel("A saved cache").setInputFiles({ ...file, buffer: damaged });
    await other.getByText(/damaged: its checksum/).waitFor();
  });

  it("takes another format at once, and says what is wrong with one that is none", async () => {
    const { page } = await opened();
    await page.getByLabel("f16").check();
    const f16 = await llm.withKv("f16");
    const expected = await collect(f16.chat([{ role: "user", content: FRANCE }], { maxNewTokens: 24, temperature: 0 }));
    await f16.dispose();
    expect(await say(page, FRANCE)).toBe(expected.text.trim());
    await page.getByLabel("Another format").fill("k9v4");
    await page.getByLabel("Another format").press("Enter");
    expect(await page.locator("#format-error").textContent()).toMatch(/k9v4/);
    // What has no place to break, as fingerprints have none, does not widen the panel.
    const endless = `k9v4${"x".repeat(200)}`;
    await page.getByLabel("Another format").fill(endless);
    await page.getByLabel("Another format").press("Enter");
    await page.locator("#format-error", { hasText: endless }).waitFor();
    const panel = page.locator(".panel-column");
    expect(await panel.evaluate(({ scrollWidth, clientWidth }) => scrollWidth - clientWidth)).toBeLessThanOrEqual(0);
    const restore = (await page.getByRole("button", { name: "Restore" }).boundingBox())!;
    expect(restore.x + restore.width).toBeLessThanOrEqual(page.viewportSize()!.width);
    expect(await page.getByLabel("f16").isChecked()).toBe(true);
  });

  it("loads a checkpoint from the user's own folder, and says when a folder holds none", async () => {
    const { page } = await shared();
    const choose = async (folder: string): Promise<void> => {
      await page.getByRole("button", { name: /qwen3-1m/ }).click();
      await page.getByLabel("A checkpoint's folder").setInputFiles(folder);
    };
    await choose(join(checkpointPath("qwen3-1m")!, "../../docs"));
    await page.getByText(/no config\.json and no \.gguf/).waitFor();
    await page.keyboard.press("Escape");
    await choose(checkpointPath("qwen3-3m")!);
    await page.locator(".model-name", { hasText: "qwen3-3m" }).waitFor();
    await untilReady(page);
    expect(await say(page, FRANCE)).toContain("Paris");
  });

  it("loads a GGUF file: picked in parts, dropped on the page, by its address; says its name and what it takes first", async () => {
    const file = await folderAsGguf(checkpointPath("qwen3-1m")!, { name: "Lamp 1M" });
    writeFileSync(join(app.folder, "lamp.gguf"), writeGguf(file));
    const { page } = await opened();
    await page.evaluate(() => {
      const seen = new Set<string>();
      Object.assign(globalThis, { seen });
      new MutationObserver(() => {
        const plan = document.querySelector(".load-plan")?.textContent;
        if (plan) seen.add(plan);
      }).observe(document.body, { childList: true, subtree: true, characterData: true });
    });
    const loaded = async (): Promise<void> => {
      await page.locator(".model-name", { hasText: "Lamp 1M" }).waitFor();
      await untilReady(page);
    };
    const choose = (): Promise<void> => page.locator(".model-button").click();
    await choose();
    const parts = [...splitFile(file, "lamp", 2)].map(([name, part]) => ({
      ...{ name, mimeType: "application/octet-stream", buffer: Buffer.from(writeGguf(part)) },
    }));
    await page.getByLabel("A GGUF file").setInputFiles(parts.slice(0, 1));
    await page.getByText(/lamp-00002-of-00002\.gguf is missing of a split of 2 files/).waitFor();
    await choose();
    await page.getByLabel("A GGUF file").setInputFiles(parts);
    await loaded();
    expect(await say(page, FRANCE)).toBe((await chat(FRANCE, 24)).text.trim());
    const plans = await page.evaluate(() => [...(globalThis as unknown as { seen: Set<string> }).seen]);
    expect(plans).toEqual([
      expect.stringMatching(/^Lamp 1M: weights [\d.]+ MB, k4v4 cache up to [\d.]+ MB for 4,096 tokens$/),
    ]);

    const drop = (names: readonly string[]) =>
      page.evaluate(async (files) => {
        const transfer = new DataTransfer();
        for (const name of files) {
          const blob = await (await fetch("lamp.gguf")).blob();
          transfer.items.add(new File([blob], name));
        }
        document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true }));
      }, names);
    await drop(["a.gguf", "b.gguf"]);
    await page.getByText("There are several models in it (a, b)").waitFor();
    expect(await page.locator(".model-name").textContent(), "what was loaded stays").toBe("Lamp 1M");
    await drop(["dropped.gguf"]);
    await page.locator(".status-loading").waitFor();
    await loaded();
    await choose();
    await page.getByLabel("From the web").fill(`${server.url}lamp.gguf`);
    await page.getByRole("button", { name: "Load" }).click();
    await page.locator(".status-loading").waitFor();
    await loaded();
  });

  it("works without a network once it was open, the model too", async () => {
    const own = await serveFolder(app.folder);
    context = await browser.newContext();
    const { page } = await openPage(context, own.url);
    await page.locator(".kept").waitFor();
    await own.close();
    await page.reload();
    await untilReady(page);
    expect(await say(page, FRANCE)).toBe((await chat(FRANCE, 24)).text.trim());
  });

  it("gets threads from the second visit on where the server sends no headers", async () => {
    const own = await serveFolder(app.folder, { isolated: false });
    context = await browser.newContext();
    const { page } = await openPage(context, own.url);
    expect(await page.evaluate(() => globalThis.crossOriginIsolated)).toBe(false);
    expect(await page.locator(".model-place").textContent()).toBe("WASM, 1 thread");
    await page.locator(".kept").waitFor();
    await page.reload();
    await untilReady(page);
    expect(await page.evaluate(() => globalThis.crossOriginIsolated)).toBe(true);
    await own.close();
  });

  it("plans as the planner does, for a public shape and for a config.json of the user's", async () => {
    const { page } = await shared();
    await page.getByRole("link", { name: "Plan" }).click();
    const planOf = (shape: string) =>
      planMemory(modelOfConfig(shapeConfig(shape), shape), { memoryBytes: 24e9, context: 131_072 });
    const verdict = page.locator(".plan-verdict");
    await page.locator(".plan-form select").first().selectOption("llama-3.1-8b");
    expect(await verdict.textContent()).toContain(`${planOf("llama-3.1-8b").best!.kv} holds 131,072 tokens`);
    expect(await page.locator(".plan-table tbody tr").count()).toBe(planOf("llama-3.1-8b").formats.length);

    await page.getByLabel("A config.json").setInputFiles(join(checkpointPath("qwen3-1m")!, "config.json"));
    await page.getByText("qwen3, your config.json").waitFor({ state: "attached" });
    expect(await verdict.textContent()).toContain(`f16 holds 131,072 tokens`);
    const wrong = { name: "config.json", mimeType: "application/json", buffer: Buffer.from('{"model_type": "mamba"}') };
    await page.getByLabel("A config.json").setInputFiles(wrong);
    await page.locator(".plan-form .problem").waitFor();
  });

  it("is small: what is loaded at the start, compressed, without kernels, of which one kind is loaded when it is needed", () => {
    const scripts = pageScripts(app.folder);
    const kernels = scripts.filter(({ hasKernels }) => hasKernels);
    expect(kernels.length).toBeGreaterThan(1);
    expect(kernels.filter(({ isAtStart }) => isAtStart)).toEqual([]);
    const start = scripts.filter(({ hasKernels, isAtStart }) => isAtStart && !hasKernels);
    expect(start.length).toBeGreaterThan(3);
    const later = scripts.filter(({ isAtStart }) => !isAtStart).map(({ bytes }) => bytes.toString("utf8"));
    for (const onDemand of ["hljs", "mfrac"]) {
      expect(
        later.some((text) => text.includes(onDemand)),
        onDemand,
      ).toBe(true);
    }
    const sum = start.reduce((bytes, script) => bytes + gzipSync(script.bytes).length, 0);
    expect(sum).toBeLessThan(SCRIPT_BUDGET_BYTES);
  });
});
