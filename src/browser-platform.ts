/** @file The browser platform: checkpoints from addresses and hub ids, workers from Blob URLs. */
import { TurboQuantError } from "./errors.ts";
import { httpCheckpoint } from "./formats/http-checkpoint.ts";
import { HttpSource, type HttpSourceOptions } from "./formats/http-source.ts";
import { hubName, PUBLIC_HUB, parseHubId } from "./formats/hub-id.ts";
import { MemorySource } from "./formats/memory-source.ts";
import { CALIBRATION_FILE } from "./models/calibration-file.ts";
import type { CalibrationShelf, Platform, WorkerHandle } from "./platform.ts";

/** A name without a place, as the models of the package have. */
const BARE_NAME = /^[A-Za-z0-9][\w.-]*$/;

/**
 * The address of a model that lies in `models/` beside the page or at the root of its server, where the files of the package are copied to.
 * @throws TurboQuantError invalid_argument — it is at neither; says what to copy
 */
async function addressOfNamed(name: string): Promise<string> {
  // A worker has no document, and its own address may be anywhere.
  const base = globalThis.document?.baseURI ?? globalThis.location?.href;
  const places = [...new Set([base, globalThis.location?.origin].flatMap((from) => placeOf(name, from)))];
  for (const place of places) {
    const response = await fetch(`${place}/config.json`).catch(() => null);
    // Servers of pages of one file answer with that file whatever is asked for.
    const text = response?.ok ? await response.text() : "";
    if (text.trimStart().startsWith("{")) return place;
  }
  throw new TurboQuantError(
    "invalid_argument",
    `model: "${name}" is not at ${places[0] ?? `models/${name}`}; copy node_modules/turboquant/models beside the page (into public/ with Vite and Next), or pass a URL (https://…, /…, ./…) or a name on the hub (org/name)`,
    { ref: name },
  );
}

function placeOf(name: string, from: string | undefined): string[] {
  return from && /^https?:/.test(from) ? [new URL(`models/${name}`, from).href] : [];
}

/**
 * ref: the address of a folder or of a .gguf file (absolute, or relative with a leading `/` or `.`), or a name on the hub
 * (`parseHubId`)
 */
function openAddress(ref: string, options: HttpSourceOptions): HttpSource {
  // Pages of files on the hub are not the files.
  const hub = parseHubId(ref);
  if (!hub && /^(https?:\/\/|\/|\.\.?\/)/.test(ref)) return httpCheckpoint(ref, options);
  if (hub) {
    const revision = encodeURIComponent(hub.revision);
    const files = `${PUBLIC_HUB}/${hub.repo}/resolve/${revision}/`;
    if (hub.file !== null)
      return httpCheckpoint(files + hub.file.split("/").map(encodeURIComponent).join("/"), options);
    const listUrl = `${PUBLIC_HUB}/api/models/${hub.repo}/tree/${revision}?recursive=true`;
    return new HttpSource(files, { ...options, listUrl, quant: hub.quant }, hubName({ ...hub, quant: null }));
  }
  throw new TurboQuantError(
    "invalid_argument",
    `model: expected a URL (https://…, /…, ./…) or a name on the hub (org/name, org/name:Q4_K_M), got "${ref}"; check it`,
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

/** Calibrations in the browser's store of responses, by the weights they are for. The addresses exist nowhere else. */
const browserCalibrations: CalibrationShelf = {
  async find(fingerprint) {
    const kept = await (await openCalibrations())?.match(calibrationAddress(fingerprint));
    if (!kept) return null;
    const bytes = new Uint8Array(await kept.arrayBuffer());
    return { source: new MemorySource({ [CALIBRATION_FILE]: bytes }, "this browser"), file: CALIBRATION_FILE };
  },
  open: async () => null,
  async keep(_model, _file, fingerprint, bytes) {
    const store = await openCalibrations();
    try {
      if (!store) throw new Error("the page has no store; open it over https or on localhost");
      await store.put(calibrationAddress(fingerprint), new Response(Uint8Array.from(bytes)));
      return "this browser";
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new TurboQuantError("invalid_argument", `calibration: the browser does not keep it: ${why}`, {}, { cause });
    }
  },
};

const calibrationAddress = (fingerprint: string): string => `https://calibration.invalid/${fingerprint}`;

/** Undefined where there is none: outside of secure contexts, and where the user forbids it. */
const openCalibrations = async (): Promise<Cache | undefined> =>
  await globalThis.caches?.open("turboquant-calibrations").catch(() => undefined);

async function openGrammarEngine(): Promise<Uint8Array<ArrayBuffer>> {
  // Beside the built and the source files alike; bundlers that know this form copy the file.
  const { href } = new URL("../grammar/llguidance.wasm", import.meta.url);
  const response = await fetch(href).catch(() => null);
  if (response?.ok) return new Uint8Array(await response.arrayBuffer());
  throw new TurboQuantError(
    "unsupported",
    `structured output: its engine could not be read from ${href}${response ? ` (${response.status})` : ""}; serve grammar/llguidance.wasm of the package there, or set a platform with an openGrammarEngine of its own`,
  );
}

/** Install with `setPlatform(browserPlatform)`. */
export const browserPlatform: Platform = {
  name: "browser",
  openSource: async (ref, options = {}) =>
    BARE_NAME.test(ref) && !ref.endsWith(".gguf")
      ? httpCheckpoint(await addressOfNamed(ref), options, ref)
      : openAddress(ref, options),
  spawnWorker: spawnBrowserWorker,
  async openGpu() {
    const gpu = globalThis.navigator?.gpu;
    if (gpu) return { gpu };
    throw new TurboQuantError(
      "unsupported",
      "webgpu: this browser has no navigator.gpu; open the page over https or on localhost in a browser with WebGPU, or use the wasm backend",
    );
  },
  calibrations: browserCalibrations,
  openGrammarEngine,
  concurrency: globalThis.navigator?.hardwareConcurrency ?? 4,
};
