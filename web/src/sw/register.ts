/** @file Installs the service worker in a built page, and reports when the page works offline or a newer version is ready. */
import { createStore } from "../ui/store.ts";

/** `offline`: all files are stored, so the page opens without a network · `update`: a newer version is ready. */
export const offlineStore = createStore<"no" | "offline" | "update">("no");

let waiting: ServiceWorker | null = null;

export function registerServiceWorker(): void {
  // Plain HTTP has no service workers, and during development one would serve old files.
  if (!("serviceWorker" in navigator) || import.meta.env.DEV) return;
  const isUpdate = navigator.serviceWorker.controller !== null;
  const watch = async (): Promise<void> => {
    const registration = await navigator.serviceWorker.register(new URL("service-worker.js", document.baseURI));
    const offer = (): void => {
      waiting = registration.waiting;
      if (waiting && isUpdate) offlineStore.set("update");
    };
    offer();
    registration.addEventListener("updatefound", () => {
      registration.installing?.addEventListener("statechange", offer);
    });
    await navigator.serviceWorker.ready;
    if (offlineStore.get() === "no") offlineStore.set("offline");
  };
  // If the browser refuses, the page simply needs the network.
  watch().catch(() => {});
}

/** Activates the newer version and reloads the page. */
export function takeUpdate(): void {
  navigator.serviceWorker.addEventListener("controllerchange", () => location.reload());
  waiting?.postMessage("take over");
}
