/** @file Serves the built web page from disk, and from memory after the first request. */
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { extname, join } from "node:path";
import { isSafeFileName } from "../formats/safe-file-name.ts";
import type { StaticFile, StaticFiles } from "../server/server-context.ts";
import { EMBEDDED_MODELS, packageRoot } from "./package-root.ts";

const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".json": "application/json",
  ".map": "application/json",
  ".wasm": "application/wasm",
  ".svg": "image/svg+xml",
  ".png": "image/png",
  ".ico": "image/x-icon",
  ".woff2": "font/woff2",
  ".webmanifest": "application/manifest+json",
  ".txt": "text/plain; charset=utf-8",
};

/** Matches file names with a content hash added by the bundler. */
const HASHED = /[-.][A-Za-z0-9_-]{8,}\.[a-z0-9]+$/;
/** Larger files, such as weights, are read from disk each time. */
const MAX_CACHED_BYTES = 4 << 20;

/** The page that was built with this package; null when there is none. */
export function builtWebFiles(directory = join(packageRoot(), "dist", "web")): StaticFiles | null {
  if (!existsSync(join(directory, "index.html"))) return null;
  const cache = new Map<string, StaticFile>();
  return async (path) => {
    const name = decodePath(path);
    if (name === null || !isSafeFileName(name)) return null;
    const known = cache.get(name);
    if (known) return known;
    const bytes = (await read(join(directory, name))) ?? (await read(checkpointPath(name)));
    if (!bytes) return null;
    const file: StaticFile = {
      bytes: new Uint8Array(bytes),
      type: TYPES[extname(name)] ?? "application/octet-stream",
      isImmutable: name.startsWith("assets/") && HASHED.test(name),
    };
    if (bytes.length <= MAX_CACHED_BYTES) cache.set(name, file);
    return file;
  };
}

const read = async (path: string | null): Promise<Uint8Array | null> =>
  path === null ? null : await readFile(path).catch(() => null);

/** A file of the page's checkpoints, which the package has once, among its models. */
function checkpointPath(name: string): string | null {
  const [folder, model, ...rest] = name.split("/");
  const isModel = folder === "checkpoints" && (EMBEDDED_MODELS as readonly string[]).includes(model ?? "");
  return isModel && rest.length > 0 ? join(packageRoot(), "models", model!, ...rest) : null;
}

function decodePath(path: string): string | null {
  try {
    return decodeURIComponent(path).replace(/^\//, "");
  } catch {
    return null;
  }
}
