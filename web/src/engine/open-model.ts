/** @file Opens the files of a model. Embedded models are stored by the browser for offline use; picked files are read from disk. */
import { type FileSource, getPlatform, type ProgressEvent, TurboQuantError } from "turboquant";
import { BlobSource } from "turboquant/formats";
import type { LoadProgress, LoadRequest } from "./protocol.ts";
import { StoredSource } from "./stored-source.ts";

const CACHE_NAME = "turboquant-models";

export async function openModel(
  { model, baseUrl }: LoadRequest,
  onProgress: (event: LoadProgress) => void,
  signal: AbortSignal,
): Promise<FileSource> {
  switch (model.kind) {
    case "url": {
      const options = {
        signal,
        onProgress: ({ item, done, total }: ProgressEvent) => onProgress({ phase: "download", item, done, total }),
      };
      return StoredSource.over(model.ref, await getPlatform().openSource(model.ref, options));
    }
    case "folder":
      return new BlobSource(new Map(model.files), model.name);
    case "embedded": {
      const total = model.files.reduce((sum, file) => sum + file.bytes, 0);
      const blobs = new Map<string, Blob>();
      let before = 0;
      for (const file of model.files) {
        // The size is part of the URL, so that a changed file of the same name is fetched again.
        const url = new URL(`checkpoints/${model.name}/${file.name}?bytes=${file.bytes}`, baseUrl).href;
        const report = (bytes: number): void =>
          onProgress({ phase: "download", item: file.name, done: before + bytes, total });
        blobs.set(file.name, await fetchOnce(url, report, signal));
        before += file.bytes;
      }
      return new BlobSource(blobs, model.name);
    }
  }
}

/**
 * Reads a URL from the browser's cache, or else from the network into
 * the cache. Without a cache (plain HTTP) it always uses the network.
 */
async function fetchOnce(url: string, onBytes: (bytes: number) => void, signal: AbortSignal): Promise<Blob> {
  const cache = await globalThis.caches?.open(CACHE_NAME).catch(() => undefined);
  const kept = await cache?.match(url);
  if (kept) return kept.blob();
  const response = await fetch(url, { signal }).catch((cause: unknown) => {
    if (signal.aborted) throw cause;
    throw new TurboQuantError("invalid_file", `${url}: cannot be fetched; check the connection`, {}, { cause });
  });
  if (!response.ok || !response.body) {
    throw new TurboQuantError(
      "invalid_file",
      `${url}: expected HTTP 200, got ${response.status}; deploy checkpoints/ too`,
    );
  }
  const blob = await collectBody(response, onBytes);
  // If storing fails for lack of space, the model still runs and is fetched again the next time.
  await cache?.put(url, new Response(blob)).catch(() => {});
  return blob;
}

async function collectBody(response: Response, onBytes: (bytes: number) => void): Promise<Blob> {
  const chunks: Uint8Array<ArrayBuffer>[] = [];
  let bytes = 0;
  const reader = response.body!.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return new Blob(chunks);
    chunks.push(value);
    bytes += value.length;
    onBytes(bytes);
  }
}
