/**
 * @file Attention of a chunk of a prompt on a GPU: our kernels on matrix units and in f32, and PyTorch's (bench/gpu/main.ts
 * prefill-attention, prefill-attention-f32, kernels, prefill; sdpa_prefill.py).
 */
import { fixed, num, type Row, recordedAs, rows, table, times } from "./rows.ts";

const count = (n: number): string => n.toLocaleString("en-US");
const onMatrices = (r: Row): boolean => /matrix units/.test(String(r["kernel"]));

/** One row for each shape and span: PyTorch's best in fp16, and each of our formats, with the f32 kernel where it was measured. */
function spanTable(own: readonly Row[], peers: readonly Row[]): string {
  const formats = [...new Set(own.map((r) => String(r["kv"])))];
  const keyOf = (r: Row): string => `${r["model"]} ${r["rows"]} ${r["history"]}`;
  const body = [...new Set(own.map(keyOf))].map((key) => {
    const here = own.filter((r) => keyOf(r) === key);
    const theirs = peers.filter((r) => keyOf(r) === key && !r["error"]).map((r) => num(r, "medianUs"));
    const cells = formats.map((kv) => {
      const now = here.find((r) => r["kv"] === kv && onMatrices(r));
      const before = here.find((r) => r["kv"] === kv && !onMatrices(r));
      if (!now) return "–";
      const gain = before ? ` (${times(num(before, "medianUs") / num(now, "medianUs"))})` : "";
      return `${fixed(num(now, "medianUs"), 0)} · ${fixed(num(now, "tflops"), 0)} T${gain}`;
    });
    const [model, n, history] = key.split(" ");
    return [`${model}, ${count(Number(n))} rows`, count(Number(history)), fixed(Math.min(...theirs), 0), ...cells];
  });
  return table(["shape", "history", "PyTorch fp16", ...formats], body);
}

/** The GPU's time of a prompt by kernel, in milliseconds. */
function kernelTable(kernels: readonly Row[]): string {
  const columns = ["f16", recordedAs(kernels, "k4v4")].flatMap((kv) =>
    ["f32", "matrices"].map((attention) => ({ kv, attention })),
  );
  const kindOf = (r: Row): string => {
    const name = String(r["kernel"]);
    if (name.startsWith("attention of spans")) return "attention";
    if (/^(linear|panels)/.test(name)) return "matrix products";
    return name.startsWith("append") ? "append" : name;
  };
  const kinds = ["attention", "attention merge", "matrix products", "append", "all"];
  const body = kinds.map((kind) => [
    kind,
    ...columns.map(({ kv, attention }) => {
      const here = kernels.filter((r) => r["kv"] === kv && r["attention"] === attention && kindOf(r) === kind);
      return fixed(here.reduce((sum, r) => sum + num(r, "us"), 0) / 1000, 1);
    }),
  ]);
  const title = ({ kv, attention }: (typeof columns)[number]): string =>
    `${kv}, ${attention === "f32" ? "before" : "now"}`;
  return table(["kernels", ...columns.map(title)], body);
}

function promptTable(models: readonly Row[]): string {
  const body = [...new Set(models.map((r) => String(r["kv"])))].map((kv) => {
    const of = (attention: string): string => {
      const row = models.find((r) => r["kv"] === kv && r["attention"] === attention);
      return `${fixed(num(row, "tokPerSec"), 0)} (${fixed(num(row, "minTokPerSec"), 0)}–${fixed(num(row, "maxTokPerSec"), 0)})`;
    };
    return [kv, of("f32"), of("matrices")];
  });
  return table(["cache", "before", "now"], body);
}

export function prefillAttentionSections(record: string): (readonly [string, string, string])[] {
  const all = rows(record);
  const own = all.filter((r) => r["kind"] === "prefill-attention" && !r["error"]);
  if (own.length === 0) return [];
  const machine = all.find((r) => r["kind"] === "machine");
  const card = String(machine?.["gpu"] ?? "GPU").replace("NVIDIA ", "");
  const checks = all.filter((r) => r["kind"] === "prefill-check");
  const passed = checks.filter((r) => String(r["passed"]) === "true").length;
  const how = `Rows of a chunk over a history and each other, 16 (0.6B) and 32 (8B) query heads on 8 KV heads of 128, microseconds with the merge, medians of 9 passes and TFLOP/s; in brackets how much faster than the f32 kernel. \`bench/gpu/main.ts prefill-attention prefill-attention-f32\`; PyTorch's best of flash and cuDNN: \`bench/gpu/sdpa_prefill.py\`, the same run. ${machine?.["gpu"]}, driver ${machine?.["driver"]}. ${passed} of ${checks.length} cases agree with the reference (\`prefill-check\`).`;
  const kernels =
    "The GPU's time of a prompt of 4,096 tokens, Qwen3-0.6B's shape, f16 weights, in ms, each dispatch timed by itself (`bench/gpu/main.ts kernels`; before: another run of the same day):";
  const prompts =
    "The same prompt in tok/s by the clock (`bench/gpu/main.ts prefill`, least and most in brackets). What bounds the kernel and what did not help: [kernels.md](kernels.md).";
  return [
    [
      `On an ${card}: attention of prompts`,
      how,
      [
        spanTable(
          own,
          all.filter((r) => r["kind"] === "sdpa-prefill"),
        ),
        kernels,
        kernelTable(all.filter((r) => r["kind"] === "kernels")),
        prompts,
        promptTable(all.filter((r) => r["kind"] === "model")),
      ].join("\n\n"),
    ],
  ];
}
