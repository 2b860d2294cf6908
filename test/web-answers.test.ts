/** @file How the page shows what models write: Markdown, code, mathematics, thoughts, and text from right to left. */
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { onePage } from "./support/one-page.ts";
import { findChromium, skipReason } from "./support/optional.ts";
import { type StaticServer, serveFolder } from "./support/static-server.ts";
import { type BuiltApp, buildWebApp, launchChromium } from "./support/web-app.ts";
import { answerEnd, PATIENCE_MS, say, untilReady } from "./support/web-page.ts";

const chromium = findChromium();
const skip = skipReason("browser", chromium !== undefined, "install chromium, or name one in CHROMIUM");

type Delta = { readonly content?: string; readonly reasoning_content?: string };

describe.skipIf(skip)(`answers on the page${skip ? ` (${skip})` : ""}`, () => {
  let app: BuiltApp;
  let server: StaticServer;
  let browser: Browser;
  let answers: readonly (readonly Delta[])[];

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

  const shared = onePage(async () => {
    const context = await browser.newContext({
      permissions: ["clipboard-read", "clipboard-write"],
      serviceWorkers: "block",
    });
    const page = await context.newPage();
    page.setDefaultTimeout(PATIENCE_MS);
    const asked: { role: string; content: string }[][] = [];
    const errors: string[] = [];
    page.on("pageerror", (error) => errors.push(String(error)));
    await page.route("**/v1/models", (route) => route.fulfill({ json: { data: [{ id: "scribe" }] } }));
    await page.route("**/v1/chat/completions", async (route) => {
      const { messages } = route.request().postDataJSON() as { messages: (typeof asked)[number] };
      const deltas = answers[asked.length]!;
      asked.push(messages);
      const events = [
        ...deltas.map((delta) => ({ choices: [{ delta }] })),
        { choices: [{ delta: {}, finish_reason: "stop" }] },
      ];
      const body = [...events.map((event) => `data: ${JSON.stringify(event)}\n\n`), "data: [DONE]\n\n"].join("");
      await route.fulfill({ headers: { "content-type": "text/event-stream" }, body });
    });
    await page.addInitScript(
      (engine) => {
        localStorage["turboquant.engine"] ??= engine;
      },
      JSON.stringify({ where: "server", model: "scribe", url: "" }),
    );
    await page.goto(server.url);
    await untilReady(page);
    return { page, asked, errors };
  });

  /** A page whose server's model writes these answers one after the other; what it was asked is kept. */
  async function open(...deltas: readonly (readonly Delta[])[]) {
    answers = deltas;
    const opened = await shared();
    opened.asked.length = 0;
    return opened;
  }

  const ask = async (page: Page, text: string): Promise<void> => {
    await say(page, text);
    await answerEnd(page);
  };

  it("sets tables, nested lists, quotes and safe links; nothing that a model writes becomes a script or a request", async () => {
    const text = [
      "| Format | Bits |\n|:--|--:|\n| k4v4 | 4 |",
      "3. three\n   - inner\n     - innermost\n4. four",
      "> said\n> twice",
      "[good](https://example.org) [bad](javascript:globalThis.hurt=1) ![x](https://example.org/p.png)",
      "<img src=x onerror='globalThis.hurt=1'><script>globalThis.hurt=1</script>",
      "~~gone~~ __strong__ _soft_ **`code`** 1 &lt; 2",
      "- [x] done\n- [ ] open",
    ].join("\n\n");
    const requested: string[] = [];
    const { page, errors } = await open([{ content: text }]);
    page.on("request", (request) => requested.push(request.url()));
    await ask(page, "Show");
    const prose = page.locator(".message-answer .prose");
    expect(await prose.locator("table td").allTextContents()).toEqual(["k4v4", "4"]);
    expect(
      await prose
        .locator("td")
        .nth(1)
        .evaluate((cell) => getComputedStyle(cell).textAlign),
    ).toBe("right");
    expect(await prose.locator("ol").first().getAttribute("start")).toBe("3");
    expect(await prose.locator("ol > li > ul > li > ul > li").textContent()).toBe("innermost");
    expect(await prose.locator("blockquote").textContent()).toBe("said\ntwice");
    expect(
      await prose
        .locator("a")
        .evaluateAll((links) => links.map((link) => [link.textContent, (link as HTMLAnchorElement).href])),
    ).toEqual([
      ["good", "https://example.org/"],
      ["x", "https://example.org/p.png"],
    ]);
    expect(await prose.textContent()).toContain("<script>globalThis.hurt=1</script>");
    expect(await page.evaluate(() => "hurt" in globalThis)).toBe(false);
    expect(requested.filter((url) => url.includes("example.org"))).toEqual([]);
    expect(await prose.locator("del, em").allTextContents()).toEqual(["gone", "soft"]);
    expect(await prose.locator("strong").allTextContents()).toEqual(["strong", "code"]);
    expect(await prose.textContent()).toContain("1 < 2");
    expect(await prose.locator(".task input:checked").count()).toBe(1);
    expect(errors).toEqual([]);
  });

  it("colours code, names its language, and copies it alone", async () => {
    const { page } = await open([{ content: "Here:\n\n```ts\nconst answer = 42; // yes\n```\n\n~~~\nplain\n~~~" }]);
    await ask(page, "Code");
    const code = page.locator(".code").first();
    await code.locator(".hljs-keyword").waitFor();
    expect(await code.locator(".hljs-keyword").textContent()).toBe("const");
    expect(await code.locator("figcaption span").textContent()).toBe("ts");
    await code.getByRole("button", { name: "Copy code" }).click();
    await code.getByRole("button", { name: "Copied" }).waitFor();
    expect(await page.evaluate(() => navigator.clipboard.readText())).toBe("const answer = 42; // yes");
    expect(await page.locator(".code").nth(1).locator("pre").textContent()).toBe("plain");
  });

  it("sets mathematics as MathML, and shows what is no TeX as it was written", async () => {
    const { page } = await open([
      { content: "So $x^2$ and \\(y\\).\n\n$$\n\\frac{a}{b}\n$$\n\nFor $5 or $6. And $\\frac{$" },
    ]);
    await ask(page, "Maths");
    await page.locator(".formula math").nth(2).waitFor();
    expect(await page.locator(".formula-display mfrac").count()).toBe(1);
    expect(await page.locator("msup").count()).toBe(1);
    expect(await page.locator(".message-answer .prose").textContent()).toContain("For $5 or $6.");
  });

  it("folds what the model thought, whether it stands in the text or beside it, and does not ask with it again", async () => {
    const { page, asked } = await open(
      [{ content: "<think>\nFirst" }, { content: " this.\n</think>\n\nParis." }],
      [{ reasoning_content: "Hm " }, { reasoning_content: "hm." }, { content: "Rome" }, { content: "." }],
      [{ content: "Fine." }],
    );
    await ask(page, "France?");
    const thoughts = page.locator(".thought");
    expect(await thoughts.locator("summary").textContent()).toBe("Thought, 2 words");
    expect(await thoughts.evaluate((node) => (node as HTMLDetailsElement).open)).toBe(false);
    expect(await page.locator(".message-answer > .prose").allTextContents()).toEqual(["Paris."]);
    await ask(page, "Italy?");
    expect(await page.locator(".message-answer > .prose").allTextContents()).toEqual(["Paris.", "Rome."]);
    await thoughts.nth(1).locator("summary").click();
    expect(await thoughts.nth(1).locator(".prose").textContent()).toBe("Hm hm.");
    await ask(page, "Both?");
    expect(asked[2]!.map(({ content }) => content)).toEqual(["France?", "Paris.", "Italy?", "Rome.", "Both?"]);
  });

  it("sets Arabic and Hebrew from right to left, and code within from left to right", async () => {
    const { page } = await open([{ content: "مرحبا بالعالم.\n\n- שלום\n\nEnglish.\n\n```\nlet x;\n```" }]);
    await page.getByLabel("Message", { exact: true }).fill("مرحبا");
    const direction = (selector: string): Promise<string[]> =>
      page.locator(selector).evaluateAll((nodes) => nodes.map((node) => getComputedStyle(node).direction));
    expect(await direction("#composer-input")).toEqual(["rtl"]);
    await page.keyboard.press("Enter");
    await page.locator(".message-answer .code").waitFor();
    expect(await direction(".bubble")).toEqual(["rtl"]);
    expect(await direction(".prose > p")).toEqual(["rtl", "ltr"]);
    expect(await direction(".prose > ul")).toEqual(["rtl"]);
    expect(await direction(".code")).toEqual(["ltr"]);
  });

  it("shows the end of a long message, where the question stands, and all of it when asked", async () => {
    const { page } = await open([{ content: "73165" }]);
    const story = `${"It was a long winter. ".repeat(80)}\nWhat is the code?`;
    await ask(page, story);
    const bubble = page.locator(".bubble");
    expect(await bubble.locator(".folded-end").textContent()).toContain("What is the code?");
    expect((await bubble.textContent())!.length).toBeLessThan(story.length);
    await page.getByRole("button", { name: /Show all/ }).click();
    expect(await bubble.textContent()).toBe(story);
  });
});
