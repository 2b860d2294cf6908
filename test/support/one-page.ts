/** @file One page for the tests of a file that need no page as it opens: to open one takes two seconds of a processor, more than many tests. */
import { afterAll, afterEach } from "vitest";
import type { OpenedPage } from "./web-page.ts";

/**
 * open: called for the first test that asks, and for the next one after a test that failed · returns: gives the page, in a new conversation, without
 * errors so far. What tests choose besides (model, format, settings) stays chosen.
 */
export function onePage<T extends OpenedPage>(open: () => Promise<T>): () => Promise<T> {
  let opened: T | null = null;
  const close = async (): Promise<void> => {
    const { page } = opened ?? {};
    opened = null;
    await page?.context().close();
  };
  afterEach(async ({ task }) => {
    if (task.result?.state === "fail") await close();
  });
  afterAll(close);
  return async () => {
    if (opened) {
      await opened.page.getByRole("button", { name: "New conversation" }).click();
      await opened.page.locator(".welcome").waitFor();
      opened.errors.length = 0;
    } else opened = await open();
    return opened;
  };
}
