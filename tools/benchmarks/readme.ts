/** @file Writes the figures of the README. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { attentionFormat, attentionMs, decodeFormat, ourDecodeRate, peerAttention } from "./cpu.ts";
import { tokensOf } from "./quality.ts";
import { fixed, num, recordedAs, root, rows, table, times } from "./rows.ts";

/** Replaces the text between two markers of the README. */
function fill(readme: string, name: string, body: string): string {
  return readme.replace(
    new RegExp(`<!-- ${name} -->[\\s\\S]*<!-- /${name} -->`),
    () => `<!-- ${name} -->\n${body}\n<!-- /${name} -->`,
  );
}
/** The quality of formats on a published model. */
function quality(): string {
  const measured = rows("quality-published").filter((r) => r["ctx"] === 2048);
  const shown = [
    "paper-4",
    "q4_0r",
    "k4v4,sinks=0,window=0",
    "k3v3,sinks=0,window=0",
    "kivi-4",
    ...["k4v4", "k3v3", "k2v2"],
  ];
  return table(
    [
      `SmolLM2-135M-Instruct (Q4_1), ${measured[0] ? tokensOf(measured[0]) : ""} tokens of a novel`,
      "bits a value, all counted",
      "mean KLD",
      "same top-1",
      "PPL ratio",
    ],
    shown.flatMap((kv) => {
      const row = measured.find((r) => r["kv"] === kv);
      if (!row) return [];
      return [
        [
          `\`${kv}\``,
          fixed(num(row, "bitsPerValue"), 2),
          fixed(num(row, "kldMean"), 5),
          `${fixed(num(row, "top1") * 100, 1)} %`,
          fixed(num(row, "pplRatio"), 4),
        ],
      ];
    }),
  );
}

/** Which `k4v4` was measured, where it is not the one of that name. */
const measuredAs = (kv: string): string => (kv === "k4v4" ? "" : ` (\`${kv}\`)`);

/** The longest contexts that were measured beside a large model on one GPU. */
function longestContext(): string[] {
  const decoded = rows("gpu-h200-million").filter((r) => r["kind"] === "million" && String(r["test"]).startsWith("tg"));
  const format = recordedAs(decoded, "k4v4");
  const [f16, k4v4] = ["f16", format].map((kv) =>
    decoded.filter((r) => r["kv"] === kv).reduce((a, b) => (num(a, "context") > num(b, "context") ? a : b)),
  );
  const tokens = [f16, k4v4].map((row) => num(row, "context").toLocaleString("en-US"));
  const what = `longest context tried beside a 32B model in f16 on one H200, tokens${measuredAs(format)}`;
  return [what, ...tokens, `${fixed(num(k4v4, "tokPerSec"), 1)} tok/s at its end`];
}

export function writeReadme(): void {
  const startFile = `${root}bench/results/start.txt`;
  let readme = readFileSync(`${root}README.md`, "utf8");
  if (existsSync(startFile))
    readme = fill(readme, "start", `\`\`\`text\n${readFileSync(startFile, "utf8").trim()}\n\`\`\``);
  const f16 = (threads: number): number => attentionMs("f16", 16384, threads);
  readme = fill(
    readme,
    "numbers",
    table(
      ["", "f16", "k4v4", ""],
      [
        [
          `KV bytes, 32K tokens of Qwen3-0.6B's shape, MiB${measuredAs("k4v4,sinks=0,window=0")}`,
          ...["f16", undefined].map((kv) =>
            fixed(
              num(
                rows("memory").find((r) => (kv ? r["kv"] === kv : r["kv"] !== "f16")),
                "kv_bytes",
              ) /
                2 ** 20,
              0,
            ),
          ),
          `${times(
            num(
              rows("memory").find((r) => r["kv"] !== "f16"),
              "ratio",
            ),
          )} smaller`,
        ],
        [
          `decode attention, ms per layer and 1K tokens at 16K, one thread${measuredAs(attentionFormat)}`,
          fixed(f16(1), 2),
          fixed(attentionMs(attentionFormat, 16384, 1), 2),
          `${times(f16(1) / attentionMs(attentionFormat, 16384, 1))} faster`,
        ],
        ...peerRow(peerAttention("f16", 1), peerAttention("q8_0", 1)),
        [
          `decode of Qwen3-0.6B's shape at depth 4096, tok/s, two threads${measuredAs(decodeFormat)}`,
          fixed(ourDecodeRate("f16", 4096), 1),
          fixed(ourDecodeRate(decodeFormat, 4096), 1),
          times(ourDecodeRate(decodeFormat, 4096) / ourDecodeRate("f16", 4096)),
        ],
        longestContext(),
      ],
    ),
  );
  writeFileSync(`${root}README.md`, fill(readme, "quality", quality()));
}

/** Left out where the machine had other work while one of the two was measured. */
const peerRow = (f16: number, q8: number): string[][] =>
  Number.isFinite(f16) && Number.isFinite(q8)
    ? [["the same in llama.cpp at 4K (f16, q8_0 cache)", fixed(f16, 2), fixed(q8, 2), ""]]
    : [];
