/** @file The page as a user has it: built, and opened in Debian's Chromium. */
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Browser, chromium } from "playwright-core";
import { build } from "vite";
import { SOFTWARE_GPU, WITHOUT_ADDRESS_BAR } from "./optional.ts";
import { repoRoot } from "./shared.ts";

export interface BuiltApp {
  readonly folder: string;
  dispose(): void;
}

/** Names the folder of the page that is built once for all tests of a run (test/built-page.ts), or before it. */
export const PAGE_OF_RUN = "TURBOQUANT_TEST_PAGE";

/** In a folder of its own, which a test may add to: a copy of the page of the run, or built where there is none. dist/ stays as it is. */
export async function buildWebApp(): Promise<BuiltApp> {
  const folder = mkdtempSync(join(tmpdir(), "turboquant-web-"));
  const dispose = () => rmSync(folder, { recursive: true, force: true });
  const ofRun = process.env[PAGE_OF_RUN];
  if (ofRun !== undefined) cpSync(ofRun, folder, { recursive: true });
  else await buildInto(folder);
  return { folder, dispose };
}

async function buildInto(folder: string): Promise<void> {
  const environment = process.env["NODE_ENV"];
  // Vitest's own value would build a page for development, without its service worker.
  process.env["NODE_ENV"] = "production";
  try {
    await build({
      configFile: join(repoRoot, "web/vite.config.ts"),
      logLevel: "warn",
      build: { outDir: folder, emptyOutDir: true, reportCompressedSize: false },
    });
  } finally {
    process.env["NODE_ENV"] = environment;
  }
}

/** What a script imports at once; what it imports when it is needed is a call. */
const STATIC_IMPORT = /(?:from|import)\s*["'`]\.\/([^"'`]+\.js)["'`]/g;
/** The beginning of a WebAssembly module in base64, and what only shaders have. */
const KERNELS = ["AGFzbQ", "@compute"];

export interface PageScript {
  readonly name: string;
  readonly bytes: Buffer;
  readonly hasKernels: boolean;
  /** False for what is loaded when something first needs it. */
  readonly isAtStart: boolean;
}

/** The scripts of a built page and of its worker. */
export function pageScripts(folder: string): PageScript[] {
  const assets = join(folder, "assets");
  const scripts = new Map(
    readdirSync(assets)
      .filter((name) => name.endsWith(".js"))
      .map((name) => [name, readFileSync(join(assets, name))]),
  );
  const start = new Set<string>();
  const add = (name: string): void => {
    const bytes = scripts.get(name);
    if (!bytes || start.has(name)) return;
    start.add(name);
    for (const [, imported] of bytes.toString("utf8").matchAll(STATIC_IMPORT)) add(imported!);
  };
  for (const name of scripts.keys()) if (/^(?:index|worker)-/.test(name)) add(name);
  return [...scripts].map(([name, bytes]) => ({
    ...{ name, bytes, isAtStart: start.has(name) },
    hasKernels: KERNELS.some((mark) => bytes.includes(mark)),
  }));
}

/** `webgpu`: on SwiftShader. */
export function launchChromium(executablePath: string, { webgpu = false } = {}): Promise<Browser> {
  const gpu = webgpu ? SOFTWARE_GPU : ["--disable-gpu"];
  return chromium.launch({
    executablePath,
    headless: true,
    args: ["--no-sandbox", "--disable-quic", WITHOUT_ADDRESS_BAR, ...gpu],
  });
}
