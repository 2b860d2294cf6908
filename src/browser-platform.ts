/** @file The browser platform: checkpoints from URL prefixes and hub ids, workers from Blob URLs. */
import { TurboQuantError } from "./errors.ts";
import { HttpSource } from "./formats/http-source.ts";
import { parseHubId } from "./formats/hub-id.ts";
import type { Platform, WorkerHandle } from "./platform.ts";

/** ref: a URL (absolute, or relative with a leading `/` or `.`), or a hub id `org/name[@revision]` */
function checkpointUrl(ref: string): string {
  if (/^(https?:\/\/|\/|\.\.?\/)/.test(ref)) return ref;
  const hub = parseHubId(ref);
  if (hub) return `https://huggingface.co/${hub.repo}/resolve/${encodeURIComponent(hub.revision)}/`;
  throw new TurboQuantError(
    "invalid_argument",
    `model: expected a URL (https://…, /…, ./…) or a hub id (org/name), got "${ref}"; check it`,
    { ref },
  );
}

function spawnBrowserWorker(source: string): WorkerHandle {
  const url = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
  const worker = new Worker(url);
  return {
    postMessage: (message) => worker.postMessage(message),
    onError(listener) {
      worker.addEventListener("error", (event) => listener(new Error(event.message || "worker failed to start")));
      worker.addEventListener("messageerror", () => listener(new Error("worker: a message could not be copied")));
    },
    terminate() {
      worker.terminate();
      URL.revokeObjectURL(url);
    },
  };
}

/** Install with `setPlatform(browserPlatform)`. */
export const browserPlatform: Platform = {
  name: "browser",
  openSource: async (ref, options = {}) => new HttpSource(checkpointUrl(ref), options, ref),
  spawnWorker: spawnBrowserWorker,
  async openGpu() {
    const gpu = globalThis.navigator?.gpu;
    if (gpu) return { gpu };
    throw new TurboQuantError(
      "unsupported",
      "webgpu: this browser has no navigator.gpu; open the page over https or on localhost in a browser with WebGPU, or use the wasm backend",
    );
  },
  concurrency: globalThis.navigator?.hardwareConcurrency ?? 4,
};
