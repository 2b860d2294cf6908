/** @file Builds dist/: ESM, one file a module, so that importing the codec alone loads the codec alone. */
import { defineConfig } from "tsdown";

// The package exports no way to its compiler, and what is imported by name becomes part of this file's bundle, where it would look in vain.
const place = new URL("node_modules/typescript-native/lib/getExePath.js", import.meta.url).href;
const { default: compilerPath } = (await import(place)) as { default: () => string };

export default defineConfig({
  // Names are paths below dist/; package.json's exports and bin point at them.
  entry: {
    index: "src/index.ts",
    browser: "src/browser.ts",
    "node/index": "src/node/index.ts",
    "quant/index": "src/quant/index.ts",
    "cache/index": "src/cache/index.ts",
    "formats/index": "src/formats/index.ts",
    "tokenizer/index": "src/tokenizer/index.ts",
    "plan/index": "src/plan/index.ts",
    "cli/main": "src/cli/main.ts",
    // Threads begin with these.
    "cli/http-thread": "src/cli/http-thread.ts",
    "cli/text-thread": "src/cli/text-thread.ts",
  },
  format: "esm",
  unbundle: true,
  // Only lets node:* imports pass; src/node and src/cli alone have any (tools/check-layers.ts).
  platform: "node",
  fixedExtension: false,
  target: "es2022",
  // Dependencies stay imports, and those that are not always needed stay dynamic imports.
  deps: { skipNodeModulesBundle: true },
  // The compiler that checks types writes declarations too, in half of the time.
  dts: { tsgo: { path: compilerPath() } },
  // Texts of the sources are a quarter of what is installed, and stacks name modules as they are.
  sourcemap: false,
  logLevel: "warn",
  checks: { pluginTimings: false },
});
