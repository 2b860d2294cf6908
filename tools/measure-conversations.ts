/** @file Whether a thousand conversations slow the page: answers beside them and without them, in turns. */
import type { Browser, CDPSession, Page } from "playwright-core";
import { openPage, untilReady } from "../test/support/web-page.ts";

const CONVERSATIONS = 1000;
/** Long enough that the decode speed of an answer means something. Drawn this hot, the small model does not come to an end by itself. */
const TOKENS = 600;
const PROMPT = "Once upon a time there was a little girl who lived";

interface Answer {
  /** Tokens a second, as the page shows it. */
  readonly speed: number;
  /** The longest time between two frames, and of a task on the page's thread (0 below 50). */
  readonly frameMs: number;
  readonly taskMs: number;
  /** Of a processor, of the page's thread, for each frame: the same however busy the machine is. */
  readonly cpuMs: number;
}

interface Watched {
  readonly page: Page;
  readonly cdp: CDPSession;
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
/** Counts between frames at both of which an answer is being written. */
const WATCH = `
  globalThis.longest = { frame: 0, task: 0 };
  {
    const isAnswering = () => document.querySelector(".message-answer[aria-busy=true]") !== null;
    let before = 0;
    const look = (now) => {
      const answering = isAnswering();
      if (before > 0 && answering) longest.frame = Math.max(longest.frame, now - before);
      before = answering ? now : 0;
      requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
    new PerformanceObserver((list) => {
      if (isAnswering()) for (const { duration } of list.getEntries()) longest.task = Math.max(longest.task, duration);
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

/** Seconds of a processor that the page's thread has taken, and how often it has laid the page out. */
async function threadOf(cdp: CDPSession): Promise<{ seconds: number; frames: number }> {
  const { metrics } = await cdp.send("Performance.getMetrics");
  const of = (name: string): number => metrics.find((metric) => metric.name === name)!.value;
  return { seconds: of("TaskDuration"), frames: of("LayoutCount") };
}

async function answer({ page, cdp }: Watched): Promise<Answer> {
  // Not by roles and names, which would be computed for a thousand rows.
  await page.locator("[aria-label='New conversation']").click();
  await page.locator(".message-answer").waitFor({ state: "detached" });
  await page.evaluate("longest.frame = longest.task = 0");
  const before = await threadOf(cdp);
  await page.locator("#composer-input").fill(PROMPT);
  await page.keyboard.press("Enter");
  await page.locator(".message-answer[aria-busy=false]").waitFor();
  const after = await threadOf(cdp);
  const cpuMs = (1000 * (after.seconds - before.seconds)) / (after.frames - before.frames);
  const { frame, task } = (await page.evaluate("longest")) as { frame: number; task: number };
  return { speed: (await page.evaluate(NEWEST)) as number, frameMs: frame, taskMs: task, cpuMs };
}

const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1]!;

/** rounds: answers on each page · returns: lines that say what was found */
export async function measureConversations(browser: Browser, url: string, rounds: number): Promise<string[]> {
  const pages: Watched[] = [];
  for (const isSeeded of [false, true]) {
    const context = await browser.newContext();
    const { page } = await openPage(context, url, { maxNewTokens: TOKENS, temperature: 2 });
    await page.addInitScript({ content: WATCH });
    if (isSeeded) await page.evaluate(SEED);
    await page.reload();
    await untilReady(page);
    if (isSeeded)
      await page
        .getByText(`Story ${CONVERSATIONS - 1}`)
        .first()
        .waitFor();
    const cdp = await context.newCDPSession(page);
    await cdp.send("Performance.enable", { timeDomain: "threadTicks" });
    pages.push({ page, cdp });
  }
  const [none, many] = pages as [Watched, Watched];
  // The first answer on a page warms it up.
  for (const watched of pages) await answer(watched);
  const pairs: { none: Answer; many: Answer }[] = [];
  for (let round = 0; round < rounds; round++) pairs.push({ none: await answer(none), many: await answer(many) });
  for (const { page } of pages) await page.context().close();
  const ratio = median(pairs.map((pair) => pair.many.speed / pair.none.speed));
  const line = (name: string, of: (pair: (typeof pairs)[number]) => Answer): string => {
    const [speed, frame, cpu] = (["speed", "frameMs", "cpuMs"] as const).map((key) =>
      median(pairs.map((pair) => of(pair)[key])),
    );
    const task = Math.max(...pairs.map((pair) => of(pair).taskMs));
    return (
      `${name}: median ${speed!.toFixed(0)} tok/s; a frame takes the page's thread ${cpu!.toFixed(1)} ms of a processor; ` +
      `longest frame ${frame!.toFixed(0)} ms, longest task ${task > 0 ? task.toFixed(0) : "below 50"} ms`
    );
  };
  return [
    line("no conversations", (pair) => pair.none),
    line(`${CONVERSATIONS.toLocaleString("en")} conversations`, (pair) => pair.many),
    `decode beside ${CONVERSATIONS.toLocaleString("en")} conversations: ${ratio.toFixed(3)} of none (median of ${rounds} pairs)`,
  ];
}
