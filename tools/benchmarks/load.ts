/** @file Loading beside reading the same bytes, and resident memory beside the plan (load.jsonl, made by `bench load`). */
import { fixed, num, rows, table, target, times } from "./rows.ts";

const MB = 1e6;

/** Those that were recorded. */
export function loadSections(): (readonly [title: string, how: string, body: string])[] {
  const all = rows("load");
  if (all.length === 0) return [];
  // Rows of before that was measured have none.
  const hasNew = all.every((row) => row["new_read_ms"] !== undefined);
  const percent = (value: number): string => `${fixed(100 * value, 1)} %`;
  const body = all.map((row) => {
    const [ratio, difference] = [num(row, "load_ratio"), num(row, "difference")];
    const name = `${row["model_type"]}, ${row["kept_as"]}`;
    target(`${name}: loading to reading`, ratio, "≤", 1.3, "×");
    target(`${name}: resident memory beyond the plan`, Math.abs(difference) * 100, "≤", 5, "%", 1);
    const bytes = ["read_bytes", "resident_bytes", "planned_bytes"].map((field) => fixed(num(row, field) / MB, 0));
    const fields = ["read_ms", ...(hasNew ? ["new_read_ms"] : []), "load_ms"];
    const ms = fields.map((field) => fixed(num(row, field), 0));
    return [name, bytes[0]!, ...ms, times(ratio), bytes[1]!, bytes[2]!, percent(difference)];
  });
  const fresh = hasNew
    ? " Weights lie in memory that is new, whose pages the system makes one by one: reading into such memory is what is left of loading without conversion, tokenizer and threads."
    : "";
  const how = `Files in the page cache; reading is the same bytes in the same pieces and nothing else, in turns with loading, on two threads of the CPU.${fresh} Resident memory is what the process has grown by, and the difference leaves JavaScript's heap out. \`npx tsx bench/load.ts\`, \`turboquant bench load -m FILE.gguf\`.`;
  const head = [
    "model",
    "read, MB",
    "read, ms",
    ...(hasNew ? ["into new memory, ms"] : []),
    "load, ms",
    "load / read",
    "resident, MB",
    "planned, MB",
    "difference",
  ];
  return [["Loading", how, table(head, body)]];
}
