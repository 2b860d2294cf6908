/**
 * @file Takes the README's pictures of the page, in both themes: `npm run screenshots` → docs/images/web-*.png.
 *
 * Everything in the pictures is computed while they are taken. Needs Chromium; the fonts are those of the machine.
 */
import { mkdirSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Browser, Page } from "playwright-core";
import { DEFAULT_PROMPT } from "../src/cli/default-prompt.ts";
import { findChromium } from "../test/support/optional.ts";
import { writePdf } from "../test/support/pdf-file.ts";
import { serveFolder } from "../test/support/static-server.ts";
import { buildWebApp, launchChromium } from "../test/support/web-app.ts";
import { answerEnd, dropFiles, openPage, say } from "../test/support/web-page.ts";
import { ROOT } from "./source-files.ts";

const FOLDER = join(ROOT, "docs/images");
const DESKTOP = { width: 1280, height: 800 };
const PHONE = { width: 390, height: 780 };

/** Nine answers about nine hundred tokens are compared, maybe on a busy machine. */
const PATIENCE_MS = 240_000;

type Theme = "light" | "dark";

/** Takes a picture without transitions and without a blinking caret, which would make every picture different. */
async function takePicture(page: Page, name: string): Promise<void> {
  await page.evaluate(() => (document.activeElement as HTMLElement | null)?.blur());
  await page.waitForTimeout(400);
  const path = join(FOLDER, `${name}.png`);
  await page.screenshot({ path, animations: "disabled", caret: "hide" });
  console.log(`${name}.png  ${(statSync(path).size / 1024).toFixed(0)} KiB`);
}

async function takeAll(browser: Browser, url: string, theme: Theme): Promise<void> {
  const context = await browser.newContext({ viewport: DESKTOP, colorScheme: theme });
  const { page } = await openPage(context, url, { model: "qwen3-3m", maxNewTokens: 96 });
  page.setDefaultTimeout(PATIENCE_MS);
  await takePicture(page, `web-first-${theme}`);
  await page.getByRole("button", { name: /Find a code/ }).click();
  await page.locator(".message-answer").waitFor();
  await answerEnd(page);
  await say(page, "What is the capital of France?");
  await takePicture(page, `web-chat-${theme}`);

  await page.locator(".model-button").click();
  await page.getByRole("dialog", { name: "Model" }).waitFor();
  await takePicture(page, `web-models-${theme}`);
  await page.getByText("From the hub").evaluate((heading) => heading.scrollIntoView());
  await takePicture(page, `web-catalogue-${theme}`);
  await page.keyboard.press("Escape");

  await page.getByRole("button", { name: "New conversation" }).click();
  const lines = DEFAULT_PROMPT.split("\n");
  await dropFiles(page, { name: "winter.pdf", bytes: writePdf(lines.slice(0, -1)) });
  await page.locator(".length").waitFor();
  await say(page, "What is the secret code of the lighthouse?");
  await page.getByLabel("Message", { exact: true }).fill("And of the old mill?");
  await page.locator(".chat-scroll").evaluate((element) => {
    element.scrollTop = 0;
  });
  await takePicture(page, `web-document-${theme}`);

  await page.getByRole("link", { name: "Compare" }).click();
  await page.getByRole("button", { name: "Compare", exact: true }).click();
  await page.locator(".column[aria-busy=false]").nth(2).waitFor();
  await page.locator(".columns").scrollIntoViewIfNeeded();
  await page.locator(".column-foot").first().scrollIntoViewIfNeeded();
  await takePicture(page, `web-compare-${theme}`);

  await page.setViewportSize(PHONE);
  await page.getByRole("button", { name: "Menu" }).click();
  await page.getByRole("link", { name: "Chat" }).click();
  await page.getByRole("button", { name: /^KV cache/ }).click();
  await takePicture(page, `web-phone-${theme}`);
  await context.close();
}

const chromium = findChromium();
if (!chromium) {
  console.error("screenshots: no Chromium found; install it, or name one in CHROMIUM");
  process.exit(2);
}
mkdirSync(FOLDER, { recursive: true });
const app = await buildWebApp();
const server = await serveFolder(app.folder);
const browser = await launchChromium(chromium);
try {
  for (const theme of ["light", "dark"] as const) await takeAll(browser, server.url, theme);
} finally {
  await browser.close();
  await server.close();
  app.dispose();
}
