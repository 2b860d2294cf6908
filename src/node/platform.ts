/** @file The Node platform: checkpoints from directories, embedded models and the hub; worker threads. */
import { stat } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { basename, dirname } from "node:path";
import { TurboQuantError } from "../errors.ts";
import type { FileSource } from "../formats/file-source.ts";
import { parseHubId } from "../formats/hub-id.ts";
import type { OnProgress, Platform } from "../platform.ts";
import { DirectorySource } from "./directory-source.ts";
import { openNodeGpu } from "./gpu.ts";
import { EMBEDDED_MODELS, embeddedModelDirectory } from "./package-root.ts";
import { spawnNodeWorker } from "./worker.ts";

/**
 * ref: an existing directory, the name of an embedded model, or a hub id `org/name[@revision]`, tried in this order.
 * @throws TurboQuantError invalid_argument — none of the three; invalid_file — the hub could not deliver it
 */
async function openSource(
  ref: string,
  options: { onProgress?: OnProgress; signal?: AbortSignal } = {},
): Promise<FileSource> {
  const info = await stat(ref).catch(() => undefined);
  if (info?.isDirectory()) return new DirectorySource(ref);
  if (info && ref.endsWith(".gguf")) return new DirectorySource(dirname(ref), dirname(ref), basename(ref));
  if (info) {
    throw new TurboQuantError(
      "invalid_argument",
      `model: expected a directory with config.json or a .gguf file, got the file ${ref}; pass the directory it lies in`,
      { ref },
    );
  }
  const embedded = embeddedModelDirectory(ref);
  if (embedded) return new DirectorySource(embedded, ref);
  if (parseHubId(ref)) {
    const { downloadCheckpoint } = await import("./hub.ts");
    return new DirectorySource(await downloadCheckpoint(ref, options), ref);
  }
  throw new TurboQuantError(
    "invalid_argument",
    `model: expected a directory, a .gguf file, a hub id (org/name) or an embedded model (${EMBEDDED_MODELS.join(", ")}), got "${ref}", which is none; check the path`,
    { ref },
  );
}

/**
 * The directory with the files of a checkpoint; undefined when it is not on this machine.
 * ref: as for `openSource`, which downloads hub models first
 */
export async function checkpointDirectory(ref: string): Promise<string | undefined> {
  const info = await stat(ref).catch(() => undefined);
  if (info?.isDirectory()) return ref;
  const embedded = embeddedModelDirectory(ref);
  if (embedded || !parseHubId(ref)) return embedded;
  const { cachedCheckpoint } = await import("./hub.ts");
  return (await cachedCheckpoint(ref)).directory;
}

export const nodePlatform: Platform = {
  name: "node",
  openSource,
  spawnWorker: spawnNodeWorker,
  openGpu: openNodeGpu,
  concurrency: availableParallelism(),
};
