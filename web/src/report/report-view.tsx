/** @file Shows the lab's report in a frame. */
import { useEffect } from "preact/hooks";
import { useStore } from "../ui/store.ts";
import { findReport, REPORT_URL, reportStore } from "./report-store.ts";

export function ReportView() {
  const report = useStore(reportStore);
  useEffect(() => void findReport(), []);
  if (report === "unknown") return <section class="page" aria-busy="true" />;
  if (report === "there") return <iframe class="report" src={REPORT_URL} title="Report of the lab" />;
  return (
    <section class="page">
      <h1>Report</h1>
      <p class="lead">
        There is none yet. <code>npx turboquant report STORE --out report.html</code> makes one; put it beside this
        page.
      </p>
    </section>
  );
}
