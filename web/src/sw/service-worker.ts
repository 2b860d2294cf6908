/**
 * @file Stores the page for use without a network, and adds the headers of cross-origin isolation.
 *
 * Files of the page come from the cache of their version. The engine's worker stores models itself, and API requests are not
 * touched. Answers get the two headers that browsers demand for shared memory, so that even a static server without them allows
 * threads from the second visit on.
 */

interface Precache {
  readonly version: string;
  readonly files: readonly string[];
}

/** Replaced by web/build/precache-list.ts. */
const precache = "__PRECACHE__" as unknown as Precache;
const PREFIX = "turboquant-page-";
const CACHE = PREFIX + precache.version;

/** Members of a service worker's scope that lib.dom lacks. */
interface WorkerScope {
  readonly registration: { readonly scope: string };
  readonly clients: { claim(): Promise<void> };
  skipWaiting(): Promise<void>;
  addEventListener(
    type: "install" | "activate",
    listener: (event: { waitUntil(work: Promise<unknown>): void }) => void,
  ): void;
  addEventListener(type: "message", listener: (event: { readonly data: unknown }) => void): void;
  addEventListener(
    type: "fetch",
    listener: (event: { readonly request: Request; respondWith(response: Promise<Response>): void }) => void,
  ): void;
}
const scope = self as unknown as WorkerScope;

const urlOf = (file: string): string => new URL(file, scope.registration.scope).href;
const files = new Set(precache.files.map(urlOf));

function isolated(response: Response): Response {
  // Opaque and redirected responses cannot be copied with other headers.
  if (response.type === "opaque" || response.type === "opaqueredirect" || response.status === 0) return response;
  const headers = new Headers(response.headers);
  headers.set("Cross-Origin-Opener-Policy", "same-origin");
  headers.set("Cross-Origin-Embedder-Policy", "require-corp");
  headers.set("Cross-Origin-Resource-Policy", "same-origin");
  const { status, statusText } = response;
  return new Response(response.body, { status, statusText, headers });
}

async function fromCache(url: string, request: Request): Promise<Response> {
  const cache = await caches.open(CACHE);
  const kept = await cache.match(url);
  if (kept) return isolated(kept);
  const response = await fetch(request);
  if (response.ok && response.status === 200) await cache.put(url, response.clone());
  return isolated(response);
}

/** Fetches a list that changes between deployments from the network, or from the cache when offline. */
async function fromNetwork(request: Request): Promise<Response> {
  const cache = await caches.open(CACHE);
  try {
    const response = await fetch(request);
    if (response.ok) await cache.put(request.url, response.clone());
    return isolated(response);
  } catch (error) {
    const kept = await cache.match(request.url);
    if (kept) return isolated(kept);
    throw error;
  }
}

scope.addEventListener("install", (event) => {
  const keepAll = async (): Promise<void> => {
    const cache = await caches.open(CACHE);
    await cache.addAll([...files]);
    // A page deployed without models has no such list.
    await cache.add(urlOf("checkpoints/index.json")).catch(() => {});
  };
  event.waitUntil(keepAll());
});

scope.addEventListener("activate", (event) => {
  const dropOld = async (): Promise<void> => {
    for (const name of await caches.keys()) {
      if (name.startsWith(PREFIX) && name !== CACHE) await caches.delete(name);
    }
    await scope.clients.claim();
  };
  event.waitUntil(dropOld());
});

/** A new version waits until the page asks for it, because an open page may still need files from the old version's cache. */
scope.addEventListener("message", (event) => {
  if (event.data === "take over") void scope.skipWaiting();
});

scope.addEventListener("fetch", (event) => {
  const { request } = event;
  if (request.method !== "GET") return;
  const url = request.url.split("#")[0]!.split("?")[0]!;
  const root = scope.registration.scope;
  if (request.mode === "navigate" && (url === root || url === urlOf("index.html"))) {
    event.respondWith(fromCache(urlOf("index.html"), request));
  } else if (files.has(url)) event.respondWith(fromCache(url, request));
  else if (url === urlOf("checkpoints/index.json")) event.respondWith(fromNetwork(request));
});
