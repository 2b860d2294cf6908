/**
 * @file Matrix products of many rows on a GPU: our kernels before and after a change, and PyTorch's (bench/gpu/main.ts
 * linear-large, matmul.py).
 */
import { fixed, num, type Row, rows, table, times } from "./rows.ts";

const count = (n: number): string => n.toLocaleString("en-US");

/** One row for each shape and number of rows: PyTorch in fp16, and the time, rate and gain of each of our types. */
function productTable(own: readonly Row[], peers: readonly Row[]): string {
  const types = [...new Set(own.map((r) => String(r["type"])))];
  const cases = [...new Set(own.map((r) => `${r["shape"]} ${r["rows"]}`))].map((key) => key.split(" "));
  const ascending = cases.sort((a, b) => Number(a[1]) - Number(b[1]));
  const body = ascending.map(([shape, n]) => {
    const here = own.filter((r) => r["shape"] === shape && num(r, "rows") === Number(n));
    const peer = peers.find(
      (r) => r["model"] === here[0]?.["model"] && r["shape"] === shape && num(r, "rows") === Number(n),
    );
    const cells = types.map((type) => {
      const plans = here.filter((r) => r["type"] === type);
      const chosen = plans.find((r) => r["chosen"]);
      const before = Math.min(...plans.filter((r) => !/^panels/.test(String(r["plan"]))).map((r) => num(r, "us")));
      const us = num(chosen, "us");
      return `${fixed(us, 0)} · ${fixed(num(chosen, "tflops"), 0)} T (${times(before / us)})`;
    });
    const of = `${shape} ${count(num(here[0], "outputs"))} × ${count(num(here[0], "cols"))}`;
    return [count(Number(n)), of, peer ? fixed(num(peer, "medianUs"), 0) : "–", ...cells];
  });
  return table(["rows", "outputs × columns", "PyTorch fp16", ...types], body);
}

function promptTable(models: readonly Row[]): string {
  const body = [...new Set(models.map((r) => String(r["kv"])))].map((kv) => {
    const of = (products: string): string => {
      const row = models.find((r) => r["kv"] === kv && r["products"] === products);
      return `${fixed(num(row, "tokPerSec"), 0)} (± ${fixed(num(row, "spread") * 50, 0)} %)`;
    };
    return [kv, of("tiles"), of("panels")];
  });
  return table(["cache", "before", "now"], body);
}

export function productSections(record: string): (readonly [string, string, string])[] {
  const all = rows(record);
  const linear = all.filter((r) => r["kind"] === "linear" && !r["error"]);
  const own = linear.filter((r) => r["engine"] !== "torch");
  if (own.length === 0) return [];
  const machine = all.find((r) => r["kind"] === "machine");
  const card = String(machine?.["gpu"] ?? "GPU").replace("NVIDIA ", "");
  const how = `Shapes of Qwen3-8B, random weights that together are several times the cache of the chip, microseconds of one product with everything that
belongs to it (x in f32 in and out, weights as stored), medians of 7 passes; in brackets how much faster than the best of the kernels of before, chosen or not, in the same run. q4 is the symmetric one of before (the affine one: *sequences together*). \`bench/gpu/main.ts linear-large\`; PyTorch (cuBLAS, fp16 in and out): \`bench/gpu/matmul.py\`, another run of the same day. ${machine?.["gpu"]}, driver ${machine?.["driver"]}.`;
  const prompts =
    "A prompt of 4,096 tokens, Qwen3-0.6B's shape, f16 weights, tok/s by the clock (`bench/gpu/main.ts prefill`, half of the middle half's width in brackets); attention takes two thirds of the GPU's time there. What the kernels of before were, what bounds these and what did not help: [kernels.md](kernels.md).";
  const models = all.filter((r) => r["kind"] === "model");
  return [
    [
      `On an ${card}: matrix products`,
      how.replaceAll("\n", " "),
      [
        productTable(
          own,
          linear.filter((r) => r["engine"] === "torch"),
        ),
        prompts,
        promptTable(models),
      ].join("\n\n"),
    ],
  ];
}
