/**
 * @file The example of an app in Next.js, where its packages are installed (examples/README.md): it is built, its route streams an answer of Node, and its
 * page has one of its own worker.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import { join } from "node:path";
import { chromium as playwright } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { examples } from "./support/example.ts";
import { findChromium, GPU_TIMEOUT_MS, skipReason, WITHOUT_ADDRESS_BAR } from "./support/optional.ts";

const folder = join(examples, "next");
const isInstalled = ["next", "turboquant"].every((name) => existsSync(join(folder, "node_modules", name)));
const skip = skipReason("next", isInstalled, "install the packages of examples/next (examples/README.md)");
const chromium = findChromium();
const skipPage = skip ?? skipReason("browser", chromium !== undefined, "install chromium, or name one in CHROMIUM");

const QUESTION = "What is the capital of Spain?";

async function freePort(): Promise<number> {
  const server = createServer();
  const port = await new Promise<number>((resolve) =>
    server.listen(0, "127.0.0.1", () => resolve((server.address() as { port: number }).port)),
  );
  await new Promise((resolve) => server.close(resolve));
  return port;
}

describe.skipIf(skip)(`examples/next${skip ? ` (${skip})` : ""}`, { timeout: GPU_TIMEOUT_MS }, () => {
  let server: ChildProcess | undefined;
  let url: string;

  beforeAll(async () => {
    const built = spawnSync("npm", ["run", "build"], {
      cwd: folder,
      encoding: "utf8",
      env: { ...process.env, NODE_ENV: "production", NEXT_TELEMETRY_DISABLED: "1" },
    });
    expect(built.status, `${built.stdout}\n${built.stderr}`).toBe(0);
    const port = await freePort();
    url = `http://127.0.0.1:${port}`;
    const next = createRequire(join(folder, "package.json")).resolve("next/dist/bin/next");
    server = spawn(process.execPath, [next, "start", "-p", String(port), "-H", "127.0.0.1"], {
      cwd: folder,
      env: { ...process.env, NODE_ENV: "production", NEXT_TELEMETRY_DISABLED: "1" },
      stdio: ["ignore", "pipe", "inherit"],
    });
    await new Promise<void>((resolve, reject) => {
      let said = "";
      server!.stdout!.on("data", (text) => {
        said += text;
        if (said.includes("Ready")) resolve();
      });
      server!.on("exit", (code) => reject(new Error(`next start ended with ${code}`)));
    });
  }, GPU_TIMEOUT_MS);
  afterAll(() => {
    server?.removeAllListeners("exit");
    server?.kill();
  });

  it("streams an answer of Node from its route", async () => {
    const response = await fetch(`${url}/api/answer`, { method: "POST", body: JSON.stringify({ question: QUESTION }) });
    expect(response.status).toBe(200);
    expect(await response.text()).toContain("Madrid");
    expect((await fetch(`${url}/api/answer`, { method: "POST", body: "{}" })).status).toBe(400);
  });

  it.skipIf(skipPage)("answers in the tab, and from the server", async () => {
    const browser = await playwright.launch({
      executablePath: chromium!,
      args: ["--no-sandbox", "--disable-gpu", "--disable-quic", WITHOUT_ADDRESS_BAR],
    });
    try {
      const page = await browser.newPage();
      page.setDefaultTimeout(60_000);
      const errors: string[] = [];
      page.on("pageerror", (error) => errors.push(String(error)));
      for (const where of ["tab", "server"]) {
        await page.goto(url);
        // What is chosen before the page's script has begun may be lost.
        await page.locator("button:enabled").waitFor();
        await page.getByLabel("Where").selectOption(where);
        await page.getByLabel("Question").fill(QUESTION);
        await page.getByRole("button", { name: "Ask" }).click();
        await page.locator("#answer[data-state=ready]:not(:empty)").waitFor();
        expect(await page.textContent("#answer"), where).toContain("Madrid");
      }
      expect(errors).toEqual([]);
    } finally {
      await browser.close();
    }
  });
});
