/** @file Vite plugin: tells the service worker which files belong to the page, so that it can store all of them. */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, relative, sep } from "node:path";
import type { Plugin } from "vite";

const WORKER = "service-worker.js";
/** Written after the build, if at all. */
const REPORT = "report.html";
/** The placeholder in src/sw/service-worker.ts that is replaced. */
const PLACEHOLDER = /["'`]__PRECACHE__["'`]/;

function filesBelow(folder: string): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    return entry.isDirectory() ? filesBelow(path) : [path];
  });
}

/** What reads PDFs is larger than the page, and is loaded with the first PDF. */
const READS_PDF = /^assets\/(read-pdf|pdf)[.-]/;

/**
 * Models are left out, because the page stores them when they are loaded, and the engine for structured output, which is read when
 * an answer is first bound.
 */
const belongs = (path: string): boolean =>
  path !== WORKER &&
  path !== REPORT &&
  !path.startsWith("checkpoints/") &&
  !path.endsWith(".map") &&
  !path.endsWith(".wasm") &&
  !READS_PDF.test(path);

export function precacheList(): Plugin {
  let outDir = "";
  return {
    name: "precache-list",
    apply: "build",
    configResolved(config) {
      outDir = config.build.outDir;
    },
    writeBundle: {
      order: "post",
      handler() {
        const paths = filesBelow(outDir)
          .map((path) => relative(outDir, path).split(sep).join("/"))
          .filter(belongs)
          .sort();
        const hash = createHash("sha256");
        for (const path of paths) hash.update(path).update(readFileSync(join(outDir, path)));
        const list = { version: hash.digest("hex").slice(0, 12), files: paths };
        const worker = join(outDir, WORKER);
        const text = readFileSync(worker, "utf8");
        if (!PLACEHOLDER.test(text)) throw new Error(`precache-list: ${WORKER} has no place for the list`);
        writeFileSync(
          worker,
          text.replace(PLACEHOLDER, () => JSON.stringify(list)),
        );
      },
    },
  };
}
