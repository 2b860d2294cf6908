/** @file Whether a thousand conversations slow the page: answers beside them and without them, in turns. */
import type { Browser, Page } from "playwright-core";
import { openPage, say, untilReady } from "../test/support/web-page.ts";

const CONVERSATIONS = 1000;
/** Long enough that the decode speed of an answer means something. */
const TOKENS = 400;
const PROMPT = "Once upon a time there was a little girl who lived";

interface Answer {
  /** Tokens a second, as the page shows it. */
  readonly speed: number;
  /** The longest time between two frames, and of a task on the page's thread (0 below 50). */
  readonly frameMs: number;
  readonly taskMs: number;
}

/** Strings, because helpers that a compiler inserts into functions would not exist in the page. */
const SEED = `new Promise((resolve, reject) => {
  const open = indexedDB.open("turboquant");
  open.onerror = () => reject(open.error);
  open.onsuccess = () => {
    const transaction = open.result.transaction("conversations", "readwrite");
    const text = "The walls of the house were white, and the garden had a gate of iron. ".repeat(8);
    for (let i = 0; i < ${CONVERSATIONS}; i++) {
      const messages = Array.from({ length: 6 }, (_, j) => ({ id: i + "-" + j, role: j % 2 ? "assistant" : "user", text }));
      transaction.objectStore("conversations").put({ id: "seed-" + i, title: "Story " + i, updatedAt: i + 1, system: "", messages });
    }
    transaction.oncomplete = () => { open.result.close(); resolve(); };
  };
})`;
const WATCH = `
  globalThis.longest = { frame: 0, task: 0 };
  {
    let before = 0;
    const look = (now) => {
      if (before > 0) longest.frame = Math.max(longest.frame, now - before);
      before = now;
      requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
    new PerformanceObserver((list) => {
      for (const { duration } of list.getEntries()) longest.task = Math.max(longest.task, duration);
    }).observe({ type: "longtask" });
  }`;
const NEWEST = `new Promise((resolve) => {
  const open = indexedDB.open("turboquant");
  open.onsuccess = () => {
    const all = open.result.transaction("conversations").objectStore("conversations").getAll();
    all.onsuccess = () => {
      open.result.close();
      resolve(all.result.sort((a, b) => b.updatedAt - a.updatedAt)[0].messages.at(-1).figures.tokPerSec);
    };
  };
})`;

async function answer(page: Page): Promise<Answer> {
  await page.getByRole("button", { name: "New conversation" }).first().click();
  await page.evaluate("longest.frame = longest.task = 0");
  await say(page, PROMPT);
  const { frame, task } = (await page.evaluate("longest")) as { frame: number; task: number };
  return { speed: (await page.evaluate(NEWEST)) as number, frameMs: frame, taskMs: task };
}

const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1]!;

/** rounds: answers on each page · returns: lines that say what was found */
export async function measureConversations(browser: Browser, url: string, rounds: number): Promise<string[]> {
  const pages: Page[] = [];
  for (const isSeeded of [false, true]) {
    const context = await browser.newContext();
    const { page } = await openPage(context, url, { maxNewTokens: TOKENS });
    await page.addInitScript({ content: WATCH });
    if (isSeeded) await page.evaluate(SEED);
    await page.reload();
    await untilReady(page);
    if (isSeeded)
      await page
        .getByText(`Story ${CONVERSATIONS - 1}`)
        .first()
        .waitFor();
    pages.push(page);
  }
  const [none, many] = pages as [Page, Page];
  // The first answer on a page warms it up.
  for (const page of pages) await answer(page);
  const pairs: { none: Answer; many: Answer }[] = [];
  for (let round = 0; round < rounds; round++) pairs.push({ none: await answer(none), many: await answer(many) });
  for (const page of pages) await page.context().close();
  const ratio = median(pairs.map((pair) => pair.many.speed / pair.none.speed));
  const line = (name: string, of: (pair: (typeof pairs)[number]) => Answer): string => {
    const [speed, frame] = [median(pairs.map((pair) => of(pair).speed)), median(pairs.map((pair) => of(pair).frameMs))];
    const task = Math.max(...pairs.map((pair) => of(pair).taskMs));
    const tasks =
      task > 0
        ? `the longest task on the page's thread ${task.toFixed(0)} ms`
        : "no task of 50 ms on the page's thread";
    return `${name}: median ${speed.toFixed(0)} tok/s, longest frame of an answer ${frame.toFixed(0)} ms, ${tasks}`;
  };
  return [
    line("no conversations", (pair) => pair.none),
    line(`${CONVERSATIONS.toLocaleString("en")} conversations`, (pair) => pair.many),
    `decode beside ${CONVERSATIONS.toLocaleString("en")} conversations: ${ratio.toFixed(3)} of none (median of ${rounds} pairs)`,
  ];
}
