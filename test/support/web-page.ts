/** @file What a user does on the page, for tests in a browser. */
import type { BrowserContext, Page } from "playwright-core";

/** The slowest machine loads the small model and answers in this time. */
export const PATIENCE_MS = 60_000;
/** The same on a software GPU, which takes up to two seconds to make a kernel, several times as long on cores that are shared. */
const GPU_PATIENCE_MS = 240_000;

export interface Settings {
  /** 24 by default. */
  readonly maxNewTokens?: number;
  /** Draw with this temperature and seed 0; greedy by default. */
  readonly temperature?: number | null;
}
const DEFAULTS = { maxNewTokens: 24, temperature: null } as const;

export interface OpenPageOptions extends Settings {
  readonly backend?: "wasm" | "webgpu" | "auto";
  readonly model?: string;
  readonly kv?: string;
  /** After the #. */
  readonly view?: string;
}

export interface OpenedPage {
  readonly page: Page;
  /** Exceptions and messages of console.error. */
  readonly errors: string[];
}

/** Opens the page with these choices made, and waits until the model is there. */
export async function openPage(
  context: BrowserContext,
  url: string,
  {
    backend = "wasm",
    model = "qwen3-1m",
    kv = "k4v4",
    maxNewTokens = DEFAULTS.maxNewTokens,
    temperature = DEFAULTS.temperature,
    view = "",
  }: OpenPageOptions = {},
): Promise<OpenedPage> {
  const page = await context.newPage();
  page.setDefaultTimeout(backend === "webgpu" ? GPU_PATIENCE_MS : PATIENCE_MS);
  const errors: string[] = [];
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("console", (message) => {
    if (message.type() === "error") errors.push(message.text());
  });
  // Only where nothing was chosen yet: a reload must find what the page itself remembers.
  await page.addInitScript(
    ([engine, settings]) => {
      localStorage["turboquant.engine"] ??= engine;
      localStorage["turboquant.settings"] ??= settings;
    },
    [
      JSON.stringify({ where: "tab", model, kv, backend }),
      JSON.stringify({ maxNewTokens, temperature, seed: 0, system: "" }),
    ] as const,
  );
  await page.goto(view ? `${url}#/${view}` : url);
  await untilReady(page);
  return { page, errors };
}

export const untilReady = (page: Page) => page.locator(".status-ready").waitFor();

/** As a user changes them; what is left out becomes the default. */
export async function changeSettings(page: Page, asked: Settings): Promise<void> {
  const { maxNewTokens, temperature } = { ...DEFAULTS, ...asked };
  const now = await page.evaluate(() => JSON.parse(localStorage["turboquant.settings"] ?? "{}") as Settings);
  if (now.maxNewTokens === maxNewTokens && now.temperature === temperature) return;
  await page.getByRole("button", { name: "Settings" }).click();
  await page.getByLabel("Longest answer, in tokens").fill(String(maxNewTokens));
  await page.getByLabel("As the model's makers say").setChecked(temperature === null);
  if (temperature !== null) await page.locator(".slider input").fill(String(temperature));
  await page.keyboard.press("Escape");
  await page.getByRole("dialog", { name: "Settings" }).waitFor({ state: "detached" });
}

/** Loads a model that comes with the page, where it is not loaded. */
export async function useModel(page: Page, name: string): Promise<void> {
  await untilReady(page);
  if ((await page.locator(".model-name").textContent()) === name) return;
  await page.locator(".model-button").click();
  await page.locator(".model-choice", { hasText: name }).click();
  await page.locator(".model-name", { hasText: name }).waitFor();
  await untilReady(page);
}

/** Chooses one of the formats that the page offers, which the engine takes a moment for. */
export async function useFormat(page: Page, kv: string): Promise<void> {
  const choice = page.getByLabel(kv);
  if (await choice.isChecked()) return;
  await choice.click();
  await choice.and(page.locator(":checked")).waitFor();
}

/** Says `text` and waits for the end of the answer; its text. */
export async function say(page: Page, text: string): Promise<string> {
  const before = await page.locator(".message-answer").count();
  await page.getByLabel("Message", { exact: true }).fill(text);
  await page.keyboard.press("Enter");
  await page.locator(".message-answer").nth(before).waitFor();
  return answerEnd(page);
}

/** Waits until nothing is being written; the text of the last answer. */
export async function answerEnd(page: Page): Promise<string> {
  await page.locator(".message-answer[aria-busy=false]").last().waitFor();
  await page.getByRole("button", { name: "Send" }).waitFor();
  return answerText(page);
}

export const answerText = async (page: Page): Promise<string> =>
  (await page.locator(".message-answer .prose").last().textContent()) ?? "";

export interface Dropped {
  readonly name: string;
  readonly bytes: Uint8Array | string;
}

/** Files from the user's desktop. */
export const dropFiles = (page: Page, ...files: readonly Dropped[]): Promise<void> =>
  page.evaluate(
    (list) => {
      const transfer = new DataTransfer();
      for (const { name, bytes } of list) transfer.items.add(new File([new Uint8Array(bytes)], name));
      const event = { dataTransfer: transfer, bubbles: true, cancelable: true };
      document.body.dispatchEvent(new DragEvent("dragover", event));
      document.body.dispatchEvent(new DragEvent("drop", event));
    },
    files.map(({ name, bytes }) => ({ name, bytes: [...Buffer.from(bytes)] })),
  );
