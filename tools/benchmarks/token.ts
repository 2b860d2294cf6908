/** @file A token and a prompt of a whole model on a GPU, before a change and with it (bench/gpu/main.ts decode, prefill, token-kernels). */
import { fixed, num, type Row, recordedAs, rows, table } from "./rows.ts";

const VERSIONS = ["before", "now"];
const columnsOf = (all: readonly Row[]) =>
  ["f16", recordedAs(all, "k4v4")].flatMap((kv) => VERSIONS.map((version) => ({ kv, version })));
const titlesOf = (columns: ReturnType<typeof columnsOf>): string[] =>
  columns.map(({ kv, version }) => `${kv}, ${version}`);

/** tok/s by the clock, by context; the last row is a prompt. */
function rateTable(models: readonly Row[]): string {
  const columns = columnsOf(models);
  const tests = [...new Set(models.map((r) => String(r["test"])))];
  const body = tests.map((test) => {
    const here = models.filter((r) => r["test"] === test);
    const context = num(here[0], "context").toLocaleString("en-US");
    const cells = columns.map(({ kv, version }) => {
      const row = here.find((r) => r["kv"] === kv && r["version"] === version);
      return `${fixed(num(row, "tokPerSec"), 0)} (${fixed(num(row, "minTokPerSec"), 0)}–${fixed(num(row, "maxTokPerSec"), 0)})`;
    });
    return [
      test.startsWith("pp") ? `a prompt of ${num(here[0], "nPrompt").toLocaleString("en-US")}` : context,
      ...cells,
    ];
  });
  return table(["context", ...titlesOf(columns)], body);
}

/** What a dispatch is for, whichever kernel it is. */
function kindOf(kernel: string): string {
  if (kernel === "all" || kernel === "attention merge" || kernel === "swiglu") return kernel;
  if (kernel.startsWith("linear")) return "matrix products";
  if (kernel.startsWith("attention")) return "attention";
  return kernel.startsWith("append") ? "append" : kernel.startsWith("rms-norm") ? "norms" : "others";
}

function kernelTable(kernels: readonly Row[]): string {
  const columns = columnsOf(kernels);
  const kinds = ["matrix products", "norms", "swiglu", "attention", "attention merge", "append", "others", "all"];
  const body = kinds.map((kind) => [
    kind,
    ...columns.map(({ kv, version }) => {
      const here = kernels.filter((r) => r["kv"] === kv && r["version"] === version);
      const counted = here.filter((r) => kindOf(String(r["kernel"])) === kind);
      const calls = (kind === "all" ? here : counted).reduce((sum, r) => sum + Number(r["calls"] ?? 0), 0);
      return `${fixed(
        counted.reduce((sum, r) => sum + num(r, "us"), 0),
        0,
      )} (${calls})`;
    }),
  ]);
  return table(["kernels", ...titlesOf(columns)], body);
}

export function tokenSections(record: string): (readonly [string, string, string])[] {
  const all = rows(record);
  if (all.length === 0) return [];
  const machine = all.find((r) => r["kind"] === "machine");
  const card = String(machine?.["gpu"] ?? "GPU").replace("NVIDIA ", "");
  const checks = all.filter((r) => r["kind"] === "linear-check");
  const passed = checks.filter((r) => String(r["passed"]) === "true").length;
  const how = `Qwen3-0.6B's shape with random weights in f16, one sequence, tok/s by the clock, least and most of 15 in brackets; both versions in one session, a process each. \`bench/gpu/main.ts decode prefill\`. ${machine?.["gpu"]}, driver ${machine?.["driver"]}. ${passed} of ${checks.length} rows of \`linear-check\` agree with f64. What changed: [kernels.md](kernels.md).`;
  const kernels =
    "The GPU's time of a token at 2,048 keys in µs, each dispatch in a pass of its own, which adds some microseconds to every one of them; the number of dispatches in brackets (`token-kernels`):";
  return [
    [
      `On an ${card}: a token`,
      how,
      [
        rateTable(all.filter((r) => r["kind"] === "model")),
        kernels,
        kernelTable(all.filter((r) => r["kind"] === "token-kernels")),
      ].join("\n\n"),
    ],
  ];
}
