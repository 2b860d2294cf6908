/** @file One page for the tests of a file that need no page as it opens: to open one takes two seconds of a processor, more than many tests. */
import { afterAll, afterEach } from "vitest";
import { answerEnd, changeSettings, type OpenedPage, type Settings } from "./web-page.ts";

/**
 * open: called for the first test that asks, and for the next one after a test that failed or closed the page · settings: those that `open` chooses ·
 * returns: gives the page, in a new conversation, where no answer is being written, without errors so far, in a window and with media as it opened,
 * and with these settings or those that the test asks for. What tests choose besides (model, format, theme) stays chosen, and so do conversations.
 */
export function onePage<T extends OpenedPage>(
  open: () => Promise<T>,
  settings: Settings = {},
): (asked?: Settings) => Promise<T> {
  let opened: T | null = null;
  let size: ReturnType<OpenedPage["page"]["viewportSize"]> = null;
  const close = async (): Promise<void> => {
    const { page } = opened ?? {};
    opened = null;
    await page?.context().close();
  };
  afterEach(async ({ task }) => {
    if (task.result?.state === "fail") await close();
  });
  afterAll(close);
  const tidy = async ({ page, errors }: T): Promise<void> => {
    if (size) await page.setViewportSize(size);
    await page.emulateMedia({ colorScheme: null, reducedMotion: null });
    // At once, since an answer may end by itself meanwhile.
    const isStopped = await page.evaluate(() => {
      const stop = document.querySelector<HTMLElement>("[aria-label=Stop]");
      stop?.click();
      return stop !== null;
    });
    if (isStopped) await answerEnd(page);
    await page.getByRole("button", { name: "New conversation" }).click();
    await page.locator(".welcome").waitFor();
    errors.length = 0;
  };
  return async (asked = {}) => {
    if (opened?.page.isClosed()) await close();
    if (opened) await tidy(opened);
    else {
      opened = await open();
      size = opened.page.viewportSize();
    }
    await changeSettings(opened.page, { ...settings, ...asked });
    return opened;
  };
}
