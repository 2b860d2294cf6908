/**
 * @file The plain page of examples/page in headless Chromium: it generates on WebGPU, and on WebAssembly where there is no
 * GPU, what Node generates; also with the timers of a tab in the background.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";
import { type Browser, chromium as playwright } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import "../src/node/install.ts";
import { collect, LLM } from "../src/index.ts";
import { findChromium, GPU_TIMEOUT_MS, SOFTWARE_GPU, skipReason, WITHOUT_ADDRESS_BAR } from "./support/optional.ts";
import { repoRoot } from "./support/shared.ts";
import { answering, answerWith, type StaticServer, serveFolder } from "./support/static-server.ts";

const executablePath = findChromium();
const skip = skipReason("browser", executablePath !== undefined, "install chromium, or name one in CHROMIUM");

const TOKENS = 6;
const ARGS = ["--no-sandbox", "--disable-quic", "--disable-background-networking", WITHOUT_ADDRESS_BAR];

let server: StaticServer;
let expected: string;

async function textOfPage(browser: Browser, search: string): Promise<{ text: string; status: string }> {
  const page = await browser.newPage();
  // What Chromium does to timers of a page that has been hidden for a while.
  await page.addInitScript(() => {
    const real = window.setTimeout;
    Object.assign(window, {
      setTimeout: (callback: () => void, ms = 0) => real(callback, Math.max(ms, 3_600_000)),
    });
  });
  await page.goto(`${server.url}?tokens=${TOKENS}&${search}`);
  await page.waitForSelector("body[data-state]", { timeout: GPU_TIMEOUT_MS - 20_000 });
  const status = (await page.textContent("#status")) ?? "";
  expect(await page.getAttribute("body", "data-state"), status).toBe("done");
  const text = (await page.textContent("#text")) ?? "";
  await page.close();
  return { text, status };
}

describe.skipIf(skip)(`a plain page${skip ? ` (${skip})` : ""}`, { timeout: GPU_TIMEOUT_MS }, () => {
  beforeAll(async () => {
    const result = await build({
      entryPoints: [join(repoRoot, "src/browser.ts")],
      bundle: true,
      format: "esm",
      platform: "browser",
      write: false,
      logLevel: "silent",
    });
    const handle = answering({
      "/": answerWith("text/html", readFileSync(join(repoRoot, "examples/page/index.html"))),
      "/turboquant.js": answerWith("text/javascript", result.outputFiles[0]!.text),
    });
    server = await serveFolder(repoRoot, { isolated: false, handle });
    await using llm = await LLM.load("qwen3-3m", { kv: "k4v4", backend: "wasm" });
    const prompt = "Once upon a time there was a little girl who lived";
    expected = prompt + (await collect(llm.generate(prompt, { maxNewTokens: TOKENS, temperature: 0 }))).text;
  });
  afterAll(() => server?.close());

  it("on WebGPU", async () => {
    const browser = await playwright.launch({ executablePath: executablePath!, args: [...ARGS, ...SOFTWARE_GPU] });
    try {
      const { text, status } = await textOfPage(browser, "backend=webgpu");
      expect(status).toMatch(/^webgpu /);
      expect(text).toBe(expected);
    } finally {
      await browser.close();
    }
  });

  it("on WebAssembly, where there is no GPU", async () => {
    const browser = await playwright.launch({ executablePath: executablePath!, args: [...ARGS, "--disable-gpu"] });
    try {
      const { text, status } = await textOfPage(browser, "");
      expect(status).toMatch(/^wasm /);
      expect(text).toBe(expected);
    } finally {
      await browser.close();
    }
  });
});
