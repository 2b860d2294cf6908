/** @file Whether a report of the lab lies beside the page: report.html, as `turboquant report` writes it. */
import { createStore } from "../ui/store.ts";

export const REPORT_URL = "report.html";
export const reportStore = createStore<"unknown" | "none" | "there">("unknown");

/** Servers that answer every path with the page itself have none. */
export async function findReport(): Promise<void> {
  const response = await fetch(new URL(REPORT_URL, document.baseURI)).catch(() => null);
  const text = response?.ok ? await response.text().catch(() => "") : "";
  reportStore.set(text !== "" && !text.includes('id="app"') ? "there" : "none");
}
