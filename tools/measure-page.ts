/**
 * @file Measures how large the page is and how soon it can be used: `npm run measure:web [LOADS]`.
 *
 * Scripts are compressed one by one, as servers send them. Those of the start are what page and worker import at once. Each load
 * is a first visit on localhost with a fresh Chromium profile. The page is usable when the message field exists and the browser
 * is idle enough to run a timer.
 *
 * Then as many answers are written on a page with 1,000 conversations and on one with none, in turns: how fast, and how long frames took meanwhile.
 */
import { brotliCompressSync, gzipSync } from "node:zlib";
import type { Browser } from "playwright-core";
import { findChromium } from "../test/support/optional.ts";
import { serveFolder } from "../test/support/static-server.ts";
import { buildWebApp, launchChromium, type PageScript, pageScripts } from "../test/support/web-app.ts";
import { readArguments, refuse } from "./command-line.ts";
import { measureConversations } from "./measure-conversations.ts";

const LOADS = Number(readArguments()[0] ?? 9);

/** A string, because helpers that a compiler inserts into functions would not exist in the page. */
const WATCH = `
  globalThis.marks = { usable: 0, ready: 0 };
  const note = (name) => setTimeout(() => { marks[name] ||= performance.now(); });
  new MutationObserver(() => {
    if (document.querySelector("#composer-input")) note("usable");
    if (document.querySelector(".status-ready")) note("ready");
  }).observe(document, { childList: true, subtree: true, attributes: true });`;

const kilobytes = (bytes: number): string => `${(bytes / 1000).toFixed(1)} kB`;

function printSizes(folder: string): void {
  const parts: readonly (readonly [string, (script: PageScript) => boolean])[] = [
    ["scripts at the start", ({ isAtStart, hasKernels }) => isAtStart && !hasKernels],
    ["scripts on demand", ({ isAtStart, hasKernels }) => !isAtStart && !hasKernels],
    ["scripts with kernels, of which one is loaded", ({ hasKernels }) => hasKernels],
  ];
  const scripts = pageScripts(folder);
  for (const [name, isMeant] of parts) {
    const sizes = scripts
      .filter(isMeant)
      .map(({ bytes }) => [gzipSync(bytes).length, brotliCompressSync(bytes).length, bytes.length] as const);
    const [gzip, brotli, raw] = [0, 1, 2].map((i) => sizes.reduce((sum, size) => sum + size[i]!, 0));
    console.log(`${name}: ${kilobytes(gzip!)} gzip, ${kilobytes(brotli!)} brotli, ${kilobytes(raw!)} raw`);
  }
}

/** Milliseconds from the navigation until the page is usable, and until the model is ready. */
async function load(browser: Browser, url: string): Promise<{ usable: number; ready: number }> {
  const context = await browser.newContext();
  const page = await context.newPage();
  await page.addInitScript({ content: WATCH });
  await page.goto(url);
  await page.waitForFunction("marks.ready > 0", null, { timeout: 60_000 });
  const marks = (await page.evaluate("marks")) as { usable: number; ready: number };
  await context.close();
  return marks;
}

function describe(values: readonly number[]): string {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share: number): number => sorted[Math.round(share * (sorted.length - 1))]!;
  return `median ${at(0.5).toFixed(0)} ms, quartiles ${at(0.25).toFixed(0)}–${at(0.75).toFixed(0)}, slowest ${at(1).toFixed(0)}`;
}

const chromium = findChromium();
if (!(LOADS >= 1)) refuse("expected a number of loads, at least 1");
if (!chromium) refuse("no Chromium found; install it, or name one in CHROMIUM");
const app = await buildWebApp();
const server = await serveFolder(app.folder);
const browser = await launchChromium(chromium);
try {
  printSizes(app.folder);
  const loads: Awaited<ReturnType<typeof load>>[] = [];
  for (let i = 0; i < LOADS; i++) loads.push(await load(browser, server.url));
  console.log(`usable after: ${describe(loads.map(({ usable }) => usable))} (${LOADS} first visits)`);
  console.log(`model ready after: ${describe(loads.map(({ ready }) => ready))}`);
  for (const line of await measureConversations(browser, server.url, LOADS)) console.log(line);
} finally {
  await browser.close();
  await server.close();
  app.dispose();
}
