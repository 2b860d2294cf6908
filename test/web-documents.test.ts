/** @file Documents on the page: dropped, pasted or picked, read, counted, asked about; and what is said of those that cannot be. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { onePage } from "./support/one-page.ts";
import { findChromium, skipReason } from "./support/optional.ts";
import { writePdf } from "./support/pdf-file.ts";
import { type StaticServer, serveFolder } from "./support/static-server.ts";
import { type BuiltApp, buildWebApp, launchChromium } from "./support/web-app.ts";
import { answerEnd, type Dropped, dropFiles, openPage, say } from "./support/web-page.ts";

const chromium = findChromium();
const skip = skipReason("browser", chromium !== undefined, "install chromium, or name one in CHROMIUM");

const LINE = "The walls of the house were white, and the garden had a gate of iron. ";

describe.skipIf(skip)(`documents on the page${skip ? ` (${skip})` : ""}`, () => {
  let app: BuiltApp;
  let server: StaticServer;
  let browser: Browser;

  beforeAll(async () => {
    app = await buildWebApp();
    // What is too long for a short context is read in a quarter of the time. The calibration is that of the whole model.
    const config = join(app.folder, "checkpoints/qwen3-1m/config.json");
    const whole = readFileSync(config, "utf8");
    // As many bytes as before, which the page knows.
    writeFileSync(config, whole.replace(/(?<="max_position_embeddings": )4096/, "1024"));
    server = await serveFolder(app.folder);
    browser = await launchChromium(chromium!);
  });
  afterAll(async () => {
    await browser?.close();
    await server?.close();
    app?.dispose();
  });

  const opened = onePage(async () =>
    openPage(await browser.newContext({ serviceWorkers: "block" }), server.url, { kv: "k4v4,calibration=off" }),
  );
  const attachments = (page: Page) => page.locator(".chat-foot .attachment-text");
  const guard = (page: Page) => page.locator(".context-guard");

  it("a PDF and a text that are dropped are read, counted, and part of the prompt, which a reload keeps", async () => {
    const { page, errors } = await opened();
    const pages = Array.from({ length: 3 }, (_, i) => `Chapter ${i + 1}. ${LINE.repeat(3)}`);
    await dropFiles(
      page,
      { name: "report.pdf", bytes: writePdf(pages) },
      { name: "notes.md", bytes: "# Notes\n\nNothing." },
    );
    await page.getByText("report.pdf, 3 pages").waitFor();
    await page.getByText("notes.md, 17 characters").waitFor();
    await page.locator(".length").waitFor();
    expect(await page.locator(".length").textContent()).toMatch(/^\d+ of 1,024 tokens; every format holds it$/);
    const counted = Number(/^\d+/.exec((await page.locator(".length").textContent())!)![0]);
    await say(page, "What is it about?");
    expect(await page.locator(".message-user .attachment-text").allTextContents()).toEqual([
      "report.pdf, 3 pages",
      "notes.md, 17 characters",
    ]);
    expect(await attachments(page).count(), "they are sent").toBe(0);
    const cached = Number(/for ([\d,]+) tokens/.exec((await page.locator(".figure-beside").textContent())!)![1]);
    expect(cached).toBeGreaterThan(counted);
    await page.reload();
    await page.locator(".message-user .attachment-text").nth(1).waitFor();
    expect(errors).toEqual([]);
  });

  it("a long text that is pasted is a document, a short one is not; a document can be taken back", async () => {
    const { page } = await opened();
    const paste = (text: string) =>
      page.getByLabel("Message", { exact: true }).evaluate((node, text) => {
        const data = new DataTransfer();
        data.setData("text/plain", text);
        node.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true }));
      }, text);
    await paste("short");
    expect(await attachments(page).count()).toBe(0);
    await paste(LINE.repeat(80));
    expect(await attachments(page).allTextContents()).toEqual([
      expect.stringMatching(/^pasted text, 5,\d+ characters$/),
    ]);
    await page.getByRole("button", { name: "Remove pasted text" }).click();
    expect(await attachments(page).count()).toBe(0);
  });

  it("says in one sentence what is wrong with a file, and nothing is sent of it", async () => {
    const { page } = await opened();
    const pdf = writePdf([LINE]);
    const cases: readonly (readonly [Dropped, RegExp])[] = [
      [{ name: "broken.pdf", bytes: pdf.subarray(0, 40) }, /broken\.pdf is broken and cannot be read/],
      [
        { name: "locked.pdf", bytes: writePdf([LINE], { isLocked: true }) },
        /locked\.pdf is locked with a password\. Print it/,
      ],
      [{ name: "scan.pdf", bytes: writePdf(["", ""]) }, /scan\.pdf has no text in it: its 2 pages are pictures/],
      [{ name: "photo.jpg", bytes: new Uint8Array([255, 216, 0, 0]) }, /photo\.jpg is no text, and no PDF/],
    ];
    for (const [file, message] of cases) {
      await dropFiles(page, file);
      await page.locator(".attachment-bad", { hasText: message }).waitFor();
    }
    expect(await page.locator(".attachment-bad").count(), "the last one is shown").toBe(1);
    await page.evaluate(() => {
      const transfer = new DataTransfer();
      transfer.items.add(new File([new Uint8Array(50e6).fill(97)], "huge.log"));
      document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true }));
    });
    await page
      .locator(".attachment-bad", { hasText: /huge\.log has 50\.0 MB, more than any model here can read/ })
      .waitFor();
    expect((await say(page, "What is the capital of France?")).length).toBeGreaterThan(0);
    expect(await page.locator(".message-user .attachment").count()).toBe(0);
  });

  it("one that is too long is no dead end: shortened it fits and is answered", async () => {
    const { page } = await opened();
    await dropFiles(page, { name: "long.txt", bytes: LINE.repeat(150) });
    await guard(page).waitFor();
    expect(await guard(page).textContent()).toMatch(/[\d,]+ tokens do not fit: qwen3-1m holds 1,024 in k4v4/);
    await page.getByLabel("Message", { exact: true }).fill("What is it about?");
    await page.keyboard.press("Enter");
    await page.waitForTimeout(500);
    expect(await page.locator(".message").count(), "nothing is sent").toBe(0);
    expect(await page.getByLabel("Message", { exact: true }).inputValue(), "nor lost").toBe("What is it about?");
    await guard(page)
      .getByRole("button", { name: /Shorten long\.txt/ })
      .click();
    await guard(page).waitFor({ state: "detached" });
    await page.getByLabel("Message", { exact: true }).press("Enter");
    await page.locator(".message-answer").waitFor();
    await answerEnd(page);
    expect(await page.locator(".message-problem").count()).toBe(0);
    expect(await page.locator(".figures").textContent()).toMatch(/tokens/);
  });

  it("a conversation that is full goes on without its oldest turns, or with a model that is stretched", async () => {
    const { page } = await opened();
    await dropFiles(page, { name: "one.txt", bytes: LINE.repeat(33) });
    await page.locator(".length").waitFor();
    await say(page, "First?");
    await dropFiles(page, { name: "two.txt", bytes: LINE.repeat(33) });
    await page.getByLabel("Message", { exact: true }).fill("Second?");
    await guard(page).waitFor();
    await guard(page)
      .getByRole("button", { name: /Leave out the oldest turns/ })
      .click();
    await guard(page).waitFor({ state: "detached" });
    await page.getByLabel("Message", { exact: true }).press("Enter");
    await page.locator(".message-answer").nth(1).waitFor();
    await answerEnd(page);
    expect(await page.locator(".message-problem").count()).toBe(0);
    await page.locator(".left-out").waitFor();

    await page.getByRole("button", { name: "New conversation" }).click();
    await dropFiles(page, { name: "long.txt", bytes: LINE.repeat(76) });
    await page.getByLabel("Message", { exact: true }).fill("What?");
    await guard(page).waitFor();
    await guard(page)
      .getByRole("button", { name: /Stretch the model/ })
      .click();
    await guard(page).waitFor({ state: "detached" });
    expect(await page.locator(".length").textContent()).toMatch(/of (?:1,[3-9]|[2-3],)\d+ tokens/);
  });
});
