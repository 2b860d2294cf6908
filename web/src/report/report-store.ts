/** @file Finds out whether a report of the lab is deployed with the page: report.html, as `turboquant report` writes it. */
import { createStore } from "../ui/store.ts";

export const REPORT_URL = "report.html";
export const reportStore = createStore<"unknown" | "none" | "there">("unknown");

/** Some servers answer every path with the page itself; that does not count as a report. */
export async function findReport(): Promise<void> {
  const response = await fetch(new URL(REPORT_URL, document.baseURI)).catch(() => null);
  const text = response?.ok ? await response.text().catch(() => "") : "";
  reportStore.set(text !== "" && !text.includes('id="app"') ? "there" : "none");
}
