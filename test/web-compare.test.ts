/** @file Comparisons on the page: what formats remember, where they part and how near that was, and how often they agree. */
import type { Browser, BrowserContext, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import "../src/node/install.ts";
import { DEFAULT_PROMPT } from "../src/cli/default-prompt.ts";
import { collect, LLM } from "../src/index.ts";
import { onePage } from "./support/one-page.ts";
import { findChromium, skipReason } from "./support/optional.ts";
import { type StaticServer, serveFolder } from "./support/static-server.ts";
import { type BuiltApp, buildWebApp, launchChromium } from "./support/web-app.ts";
import { openPage, untilReady } from "./support/web-page.ts";

const chromium = findChromium();
const skip = skipReason("browser", chromium !== undefined, "install chromium, or name one in CHROMIUM");

const STORY = "Once upon a time there was a little girl who lived";
const greedy = (maxNewTokens: number) => ({ maxNewTokens, temperature: 0 });

describe.skipIf(skip)(`comparisons on the page${skip ? ` (${skip})` : ""}`, () => {
  let app: BuiltApp;
  let server: StaticServer;
  let browser: Browser;
  let context: BrowserContext;

  beforeAll(async () => {
    app = await buildWebApp();
    server = await serveFolder(app.folder);
    browser = await launchChromium(chromium!);
  });
  afterAll(async () => {
    await browser?.close();
    await server?.close();
    app?.dispose();
  });
  afterEach(async () => {
    await context?.close();
  });

  const opened = onePage(async () => openPage(await browser.newContext({ serviceWorkers: "block" }), server.url));
  const run = async (page: Page): Promise<void> => {
    await page.getByRole("button", { name: "Compare", exact: true }).click();
    await page.locator(".column[aria-busy=false]").nth(2).waitFor();
    await page.getByRole("button", { name: "Compare", exact: true }).waitFor();
  };

  it("asks each format for three codes of a story, and says which it has forgotten, as Node finds it", async () => {
    context = await browser.newContext({ serviceWorkers: "block" });
    const { page } = await openPage(context, server.url, { view: "compare", model: "qwen3-3m" });
    // Nine answers about nine hundred tokens, on cores that others use too.
    page.setDefaultTimeout(200_000);
    await run(page);
    await using llm = await LLM.load("qwen3-3m", { kv: "f16", threads: 1, backend: "wasm" });
    const lines = DEFAULT_PROMPT.split("\n");
    const codes = [...DEFAULT_PROMPT.matchAll(/^The secret code of (.+) is (\d+)\./gm)];
    expect(codes).toHaveLength(3);
    const counts: number[] = [];
    for (const kv of ["f16", "k4v4", "k1v1"]) {
      await using view = await llm.withKv(kv);
      // The story is read once for the three questions.
      const session = view.createSession();
      const answers: string[] = [];
      for (const [, subject] of codes) {
        const content = [...lines.slice(0, -1), `What is the secret code of ${subject}?`].join("\n");
        answers.push((await collect(session.chat([{ role: "user", content }], greedy(24)))).text.trim());
      }
      session.release();
      const found = codes.map(([, , code], i) => answers[i]!.includes(code!));
      const column = page.getByRole("article", { name: kv });
      const shown = await column.locator(".recall-answer").allTextContents();
      expect(shown, kv).toEqual(answers.map((text, i) => (found[i] ? text : `${text} It was ${codes[i]![2]}.`)));
      const count = found.filter(Boolean).length;
      counts.push(count);
      expect(await column.locator(".verdict").textContent(), kv).toBe(
        count === 3 ? "Remembers all 3" : `Remembers ${count} of 3`,
      );
    }
    expect(counts.slice(0, 2), "what is exact, and what the page uses by itself, forget nothing").toEqual([3, 3]);
    expect(counts[2], "the comparison shows something that was forgotten").toBeLessThan(3);
  }, 300_000);

  it("says how near the choice was where two part, and how often they agree over the same text", async () => {
    const { page } = await opened();
    await page.getByRole("link", { name: "Compare" }).click();
    await page.getByLabel("Prompt").fill(STORY);
    expect(await page.getByLabel("A text of your own").isChecked(), "a text that is changed").toBe(true);
    await page.getByLabel("Format 2").fill("paper-4");
    await page.getByLabel("Format 3").fill("paper-2");
    await page.getByLabel("Tokens").selectOption("32");
    await run(page);
    await using llm = await LLM.load("qwen3-1m", { kv: "f16", threads: 1, backend: "wasm" });
    const reference = await collect(llm.generate(STORY, greedy(32)));
    const prompt = Array.from(llm.tokenizer.encode(STORY));
    for (const kv of ["paper-4", "paper-2"]) {
      await using view = await llm.withKv(kv);
      let agreed = 0;
      for (const [i, token] of reference.tokens.entries()) {
        const next = await collect(view.generate([...prompt, ...reference.tokens.slice(0, i)], greedy(1)));
        if (next.tokens[0] === token) agreed++;
      }
      const column = page.getByRole("article", { name: kv });
      const share = ((100 * agreed) / reference.tokens.length).toFixed(0);
      expect(await column.locator(".agreement").textContent(), kv).toContain(`${share} % of the time`);

      const own = await collect(view.generate(STORY, greedy(32)));
      const at = own.tokens.findIndex((token, i) => token !== reference.tokens[i]);
      expect(at, kv).toBeGreaterThanOrEqual(0);
      const cells = (await column.locator(".fork td").allTextContents()).map((text) => Number.parseFloat(text));
      const place = [...prompt, ...reference.tokens.slice(0, at)];
      const probability = async (of: LLM, token: number): Promise<number> => {
        for await (const { topLogprobs } of of.generate(place, { ...greedy(1), logprobs: 50 })) {
          const found = topLogprobs?.find((likely) => likely.token === token);
          if (found) return 100 * Math.exp(found.logprob);
        }
        return 0;
      };
      const expected = [
        await probability(llm, reference.tokens[at]!),
        await probability(view, reference.tokens[at]!),
        await probability(llm, own.tokens[at]!),
        await probability(view, own.tokens[at]!),
      ];
      for (const [i, value] of expected.entries()) expect(Math.abs(cells[i]! - value), `${kv} ${i}`).toBeLessThan(1);
      expect(cells[0], "the reference's own choice was its likeliest").toBeGreaterThanOrEqual(cells[2]!);
      expect(cells[3]).toBeGreaterThanOrEqual(cells[1]!);
    }
    expect(await page.locator(".column-foot").last().textContent(), "a short cache is mostly exact").toContain(
      "too short to tell",
    );
  });

  it("ends its columns when a format is none, and keeps what was filled in over a reload", async () => {
    const { page } = await opened();
    await page.getByRole("link", { name: "Compare" }).click();
    await page.getByLabel("Continue a story").check();
    await page.getByLabel("Format 3").fill("k9v9");
    await page.getByRole("button", { name: "Compare", exact: true }).click();
    await page.getByRole("alert").filter({ hasText: "k9v9" }).waitFor();
    await page.locator(".column[aria-busy=false]").nth(2).waitFor();
    expect(await page.locator(".column progress").count()).toBe(0);
    await page.reload();
    await untilReady(page);
    expect(await page.getByLabel("Format 3").inputValue()).toBe("k9v9");
    expect(await page.getByLabel("Continue a story").isChecked()).toBe(true);
  });
});
