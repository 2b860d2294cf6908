/** @file Vite plugin: copies the embedded checkpoints beside the page, with a list of them. */
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Plugin } from "vite";

/** Records of how a checkpoint was made and tested, which are not needed to run it. */
const RECORDS = new Set(["golden.json", "oracle.json", "training.json"]);
/** The first in the list, and so the model that a new visitor gets. */
const DEFAULT_MODEL = "qwen3-3m";

export interface EmbeddedModel {
  readonly name: string;
  readonly files: readonly { readonly name: string; readonly bytes: number }[];
}

function listModels(folder: string): EmbeddedModel[] {
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory() && existsSync(join(folder, entry.name, "config.json")))
    .map(({ name }) => ({
      name,
      files: readdirSync(join(folder, name))
        .filter((file) => !RECORDS.has(file))
        .sort()
        .map((file) => ({ name: file, bytes: statSync(join(folder, name, file)).size })),
    }))
    .sort((a, b) => Number(b.name === DEFAULT_MODEL) - Number(a.name === DEFAULT_MODEL));
}

/** `checkpoints/index.json` and `checkpoints/NAME/FILE`, in development and in the build. */
export function embeddedModels(folder: string): Plugin {
  let outDir = "";
  return {
    name: "embedded-models",
    configResolved(config) {
      outDir = config.build.outDir;
    },
    configureServer(server) {
      server.middlewares.use("/checkpoints/", (request, response, next) => {
        const path = decodeURIComponent(request.url!.split("?")[0]!.slice(1));
        const isListed = listModels(folder).some(({ name, files }) =>
          files.some((file) => `${name}/${file.name}` === path),
        );
        if (path === "index.json") response.end(JSON.stringify(listModels(folder)));
        else if (isListed) response.end(readFileSync(join(folder, path)));
        else next();
      });
    },
    writeBundle() {
      for (const { name, files } of listModels(folder)) {
        mkdirSync(join(outDir, "checkpoints", name), { recursive: true });
        for (const file of files) cpSync(join(folder, name, file.name), join(outDir, "checkpoints", name, file.name));
      }
      writeFileSync(join(outDir, "checkpoints", "index.json"), `${JSON.stringify(listModels(folder))}\n`);
    },
  };
}
