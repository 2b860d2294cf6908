/** @file Builds the page: `npm run build:web` → dist/web, `npm run dev:web` with reloading. */
import { fileURLToPath } from "node:url";
import { defineConfig } from "vite";
import { embeddedModels } from "./build/embedded-models.ts";
import { engineWorker } from "./build/engine-worker.ts";
import { packageAlias } from "./build/package-alias.ts";
import { precacheList } from "./build/precache-list.ts";

const path = (relative: string): string => fileURLToPath(new URL(relative, import.meta.url));

/** Headers that browsers demand for shared memory, and so for WASM threads. */
const isolation = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
};

export default defineConfig({
  root: path("."),
  // Relative URLs, so that the folder can be deployed anywhere on a static server.
  base: "./",
  resolve: { alias: packageAlias },
  server: { headers: isolation, fs: { allow: [path("..")] } },
  preview: { headers: isolation },
  plugins: [
    engineWorker(path("src/engine/worker.ts"), "/src/engine/worker.ts"),
    embeddedModels(path("../models")),
    precacheList(),
  ],
  build: {
    outDir: path("../dist/web"),
    emptyOutDir: true,
    target: "es2022",
    // To preload what a chunk imports needs a document, which the worker does not have.
    modulePreload: false,
    // The CPU's backend is one module of 620 kB with all its kernels.
    chunkSizeWarningLimit: 650,
    rolldownOptions: {
      input: { index: path("index.html"), "service-worker": path("src/sw/service-worker.ts") },
      output: {
        // Some servers do not know .mjs, and a worker of an unknown type is not run.
        assetFileNames: ({ names }) =>
          names[0]?.endsWith(".mjs") ? "assets/[name]-[hash].js" : "assets/[name]-[hash][extname]",
        // A service worker controls the folder it is in, and needs a stable name.
        entryFileNames: ({ name }) => (name === "service-worker" ? "[name].js" : "assets/[name]-[hash].js"),
      },
    },
  },
});
