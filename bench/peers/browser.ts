/**
 * @file Speed of ours and of wllama (llama.cpp as WebAssembly) in one page on the same GGUF file: `npx tsx bench/peers/browser.ts [FILE.gguf]`.
 *
 *   options: those of `speed.ts`
 *
 * Both have the file loaded in a headless Chromium with shared memory, and are asked in turns for one repeat of one test.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { build } from "esbuild";
import { findChromium } from "../../test/support/optional.ts";
import { answering, answerWith, serveFolder } from "../../test/support/static-server.ts";
import { launchChromium } from "../../test/support/web-app.ts";
import type { PageOptions } from "./browser-page.ts";
import { HERE, installPeers, versionOf } from "./install.ts";
import { compareSpeed, type Engine, readSpeedOptions } from "./speed-run.ts";
import type { SpeedTest } from "./speed-test.ts";

const chromium = findChromium();
if (!chromium) {
  console.error("browser: expected a Chromium; install it, or name one in CHROMIUM");
  process.exit(2);
}
const options = await readSpeedOptions();
installPeers();

async function script(file: string): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [join(HERE, file)],
    bundle: true,
    format: "esm",
    platform: "browser",
    external: ["/wllama.js"],
    write: false,
    logLevel: "error",
  });
  return outputFiles[0]!.text;
}
const [page, worker] = [await script("browser-page.ts"), await script("browser-worker.ts")];
const wllama = (file: string): string => join(HERE, "node_modules/@wllama/wllama/esm", file);
const server = await serveFolder(HERE, {
  handle: answering({
    "/": answerWith("text/html", '<!doctype html><script type="module" src="/page.js"></script>'),
    "/page.js": answerWith("text/javascript", page),
    "/worker.js": answerWith("text/javascript", worker),
    "/wllama.js": answerWith("text/javascript", readFileSync(wllama("index.js"))),
    "/wllama.wasm": answerWith("application/wasm", readFileSync(wllama("wasm/wllama.wasm"))),
    "/model.gguf": (_, response) => response.end(readFileSync(options.path)),
  }),
});
const browser = await launchChromium(chromium);
try {
  const tab = await (await browser.newContext()).newPage();
  tab.setDefaultTimeout(0);
  tab.on("pageerror", (error) => console.error(`browser: ${error}`));
  await tab.goto(server.url);
  await tab.waitForFunction("globalThis.runTest");
  const engine = async (name: string, kv: readonly string[]): Promise<Engine> => {
    const { threads, longest, limitSeconds } = options;
    const own: PageOptions = { kv, threads, longest, limitSeconds };
    console.error(`browser: loading ${name}`);
    await tab.evaluate(`startEngine(${JSON.stringify(name)}, ${JSON.stringify(own)})`);
    const run = (test: SpeedTest): Promise<number | null> =>
      tab.evaluate(`runTest(${JSON.stringify(name)}, ${JSON.stringify(test)})`);
    return { name, kv, run };
  };
  const engines = [await engine("turboquant", options.kv), await engine("wllama", options.peerKv)] as const;
  await compareSpeed(engines, options, {
    benchmark: "peer-browser",
    peer: "wllama",
    version: versionOf("@wllama/wllama"),
    browser: browser.version(),
  });
} finally {
  await browser.close();
  await server.close();
}
