/** @file Serves the built web page from disk, and from memory after the first request. */
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { extname, join } from "node:path";
import { promisify } from "node:util";
import { brotliCompress, constants, gzip } from "node:zlib";
import { isSafeFileName } from "../formats/safe-file-name.ts";
import type { ContentEncoding, StaticFile, StaticFiles } from "../server/server-context.ts";
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
/** Smaller files fit a packet or two anyway. */
const MIN_COMPRESSED_BYTES = 1024;
const COMPRESSIBLE = /^(?:text\/|application\/(?:json|wasm|manifest\+json)|image\/svg)/;

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
    const type = TYPES[extname(name)] ?? "application/octet-stream";
    const isKept = bytes.length <= MAX_CACHED_BYTES;
    const file: StaticFile = {
      bytes: new Uint8Array(bytes),
      type,
      isImmutable: name.startsWith("assets/") && HASHED.test(name),
      ...(isKept && isWorthCompressing(name, type, bytes) && { compressed: compressor(bytes) }),
    };
    if (isKept) cache.set(name, file);
    return file;
  };
}

/** Files of models are read by their lengths, which a compressed answer does not say. */
const isWorthCompressing = (name: string, type: string, bytes: Uint8Array): boolean =>
  bytes.length >= MIN_COMPRESSED_BYTES && COMPRESSIBLE.test(type) && !/^checkpoints\/.+\//.test(name);

/** Compresses when first asked, once in each encoding. */
function compressor(bytes: Uint8Array): NonNullable<StaticFile["compressed"]> {
  const made = new Map<ContentEncoding, Promise<Uint8Array<ArrayBuffer>>>();
  return (encoding) => {
    const known = made.get(encoding);
    if (known) return known;
    const work = compress[encoding](bytes).then((compressed) => new Uint8Array(compressed));
    made.set(encoding, work);
    return work;
  };
}

const [brotli, gzipped] = [promisify(brotliCompress), promisify(gzip)];
const compress: Readonly<Record<ContentEncoding, (bytes: Uint8Array) => Promise<Uint8Array>>> = {
  // The highest level takes ten times as long and saves a few percent.
  br: (bytes) => brotli(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 9 } }),
  gzip: (bytes) => gzipped(bytes, { level: 9 }),
};

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
