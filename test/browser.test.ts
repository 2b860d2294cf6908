/** @file The WASM backend in a browser's worker: with threads on an isolated page, on one thread elsewhere; in one memory and in several; Node's tokens. */
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build } from "esbuild";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import "../src/node/install.ts";
import { collect, LLM } from "../src/index.ts";
import { findChromium, skipReason, WITHOUT_ADDRESS_BAR } from "./support/optional.ts";
import { repoRoot } from "./support/shared.ts";
import { answering, answerWith, type StaticServer, serveFolder } from "./support/static-server.ts";

const chromium = findChromium();
const skip = skipReason("browser", chromium !== undefined, "install chromium, or name one in CHROMIUM");

const PROMPT = "Once upon a time there was a little girl who lived";
const OPTIONS = { maxNewTokens: 24, temperature: 0, ignoreEos: true };

/** The model takes three memories of this size. */
const MEMORY_BYTES = 17e6;

/** Runs in the worker; posts its result or its error to the page, which sends it to us. */
const WORKER = `
import { createWasmBackend } from "${repoRoot}src/backends/wasm/backend.ts";
import { collect, LLM } from "${repoRoot}src/browser.ts";
try {
  const llm = await LLM.load("/models/qwen3-1m/", { kv: "k4v4" });
  const { tokens } = await collect(llm.generate(${JSON.stringify(PROMPT)}, ${JSON.stringify(OPTIONS)}));
  const backend = await createWasmBackend({ memoryLimitBytes: ${MEMORY_BYTES} });
  const several = await LLM.load("/models/qwen3-1m/", { kv: "k4v4", backend, contextLength: 512 });
  const again = await collect(several.generate(${JSON.stringify(PROMPT)}, ${JSON.stringify(OPTIONS)}));
  const memories = { about: backend.explain()[0], tokens: again.tokens };
  postMessage({ tokens, backend: llm.ops.describe(), kvBytes: llm.cache.numBytes, memories });
} catch (error) {
  postMessage({ error: String(error?.stack ?? error) });
}`;

const PAGE = `<!doctype html><script type="module">
  const worker = new Worker("/worker.js", { type: "module" });
  worker.onmessage = ({ data }) => fetch("/result", { method: "POST", body: JSON.stringify(data) });
  worker.onerror = (event) => fetch("/result", { method: "POST", body: JSON.stringify({ error: event.message }) });
</script>`;

interface Result {
  readonly tokens?: number[];
  readonly backend?: string;
  /** The same model cut into several memories. */
  readonly memories?: { readonly about: string; readonly tokens: number[] };
  readonly error?: string;
}

let server: StaticServer;
let worker: string;
let isolated = true;
let onResult: (result: Result) => void = () => {};

/** Opens the page in a new browser and waits for what the worker says. */
async function runInBrowser(isIsolated: boolean): Promise<Result> {
  isolated = isIsolated;
  const profile = mkdtempSync(join(tmpdir(), "chromium-"));
  const result = new Promise<Result>((resolve) => {
    onResult = resolve;
  });
  const flags =
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync";
  const browser = spawn(
    chromium!,
    [...flags.split(" "), WITHOUT_ADDRESS_BAR, `--user-data-dir=${profile}`, server.url],
    {
      stdio: "ignore",
      detached: true,
    },
  );
  try {
    return await result;
  } finally {
    const exit = new Promise((resolve) => browser.once("exit", resolve));
    // The whole group: its other processes would go on writing to the profile.
    process.kill(-browser.pid!, "SIGKILL");
    await exit;
    rmSync(profile, { recursive: true, force: true, maxRetries: 20, retryDelay: 50 });
  }
}

describe.skipIf(skip)(`wasm in a browser worker${skip ? ` (${skip})` : ""}`, () => {
  beforeAll(async () => {
    const bundle = await build({
      stdin: { contents: WORKER, resolveDir: repoRoot, loader: "ts" },
      bundle: true,
      format: "esm",
      platform: "browser",
      write: false,
      logLevel: "silent",
    });
    worker = bundle.outputFiles[0]!.text;
    const answer = answering({
      "/": answerWith("text/html", PAGE),
      "/worker.js": answerWith("text/javascript", worker),
      "/result": (request, response) => {
        let body = "";
        request.on("data", (chunk) => {
          body += chunk;
        });
        request.on("end", () => {
          response.end();
          onResult(JSON.parse(body) as Result);
        });
      },
    });
    server = await serveFolder(repoRoot, {
      isolated: false,
      handle: (request, response) => {
        if (isolated) {
          response.setHeader("Cross-Origin-Opener-Policy", "same-origin");
          response.setHeader("Cross-Origin-Embedder-Policy", "require-corp");
        }
        return answer(request, response);
      },
    });
  });
  afterAll(() => server?.close());

  it("the bundle for browsers has no Node module in it", () => {
    expect(worker).not.toMatch(/from\s*"node:|require\("node:(?!worker_threads)/);
  });

  it.each([
    ["isolated page, threads and shared memory", true, /[2-9]\d* threads|1 thread, shared/],
    ["page without isolation, one thread", false, /1 thread\b/],
  ] as const)("%s", async (_, isIsolated, backend) => {
    const result = await runInBrowser(isIsolated);
    expect(result.error).toBeUndefined();
    expect(result.backend).toMatch(backend);
    await using llm = await LLM.load("qwen3-1m", { kv: "k4v4" });
    const { tokens } = await collect(llm.generate(PROMPT, OPTIONS));
    expect(result.tokens).toEqual(tokens);
    expect(result.memories).toEqual({ about: expect.stringMatching(/in [2-9] memories of at most/), tokens });
  });
});
