/** @file Installs the service worker in a built page, and says when it holds everything or a newer page. */
import { createStore } from "../ui/store.ts";

/** `offline`: the page is kept and opens without a network · `update`: a newer one is ready. */
export const keptStore = createStore<"no" | "offline" | "update">("no");

let waiting: ServiceWorker | null = null;

export function registerServiceWorker(): void {
  // Plain http has none; in development it would keep old files.
  if (!("serviceWorker" in navigator) || import.meta.env.DEV) return;
  const isUpdate = navigator.serviceWorker.controller !== null;
  const watch = async (): Promise<void> => {
    const registration = await navigator.serviceWorker.register(new URL("service-worker.js", document.baseURI));
    const offer = (): void => {
      waiting = registration.waiting;
      if (waiting && isUpdate) keptStore.set("update");
    };
    offer();
    registration.addEventListener("updatefound", () => {
      registration.installing?.addEventListener("statechange", offer);
    });
    await navigator.serviceWorker.ready;
    if (keptStore.get() === "no") keptStore.set("offline");
  };
  // A browser that refuses leaves a page that needs the network.
  watch().catch(() => {});
}

/** The newer page takes over and is shown. */
export function takeUpdate(): void {
  navigator.serviceWorker.addEventListener("controllerchange", () => location.reload());
  waiting?.postMessage("take over");
}
