/** @file The page as a user has it: built, and opened in Debian's Chromium. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Browser, chromium } from "playwright-core";
import { build } from "vite";
import { SOFTWARE_GPU } from "./optional.ts";
import { repoRoot } from "./shared.ts";

export interface BuiltApp {
  readonly folder: string;
  dispose(): void;
}

/** Builds into a folder of its own, so that dist/ stays what the last build made of it. */
export async function buildWebApp(): Promise<BuiltApp> {
  const folder = mkdtempSync(join(tmpdir(), "turboquant-web-"));
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
  return { folder, dispose: () => rmSync(folder, { recursive: true, force: true }) };
}

/** `webgpu`: on SwiftShader. */
export function launchChromium(executablePath: string, { webgpu = false } = {}): Promise<Browser> {
  const gpu = webgpu ? SOFTWARE_GPU : ["--disable-gpu"];
  return chromium.launch({ executablePath, headless: true, args: ["--no-sandbox", "--disable-quic", ...gpu] });
}
