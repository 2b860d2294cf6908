/**
 * @file Writes docs/benchmarks.md and the figures of the README from the rows in bench/results/ (bench/record.sh, bench/gpu).
 *
 * Every figure comes from a recorded row, and a target is judged beside the figure, so a missed target cannot be left out.
 */
import { writeFileSync } from "node:fs";
import { batchSections } from "./benchmarks/batch.ts";
import { attention, attentionSection, decodeSection, memorySection, prefillSection } from "./benchmarks/cpu.ts";
import { farSection } from "./benchmarks/far.ts";
import { gpuSections } from "./benchmarks/gpu.ts";
import { loadSections } from "./benchmarks/load.ts";
import { millionSections } from "./benchmarks/million.ts";
import { peerSections } from "./benchmarks/peers.ts";
import { prefillAttentionSections } from "./benchmarks/prefill-attention.ts";
import { productSections } from "./benchmarks/products.ts";
import {
  codesSection,
  judgeFamily,
  judgePublished,
  oracleSection,
  publishedSection,
  qualitySection,
  windowSection,
} from "./benchmarks/quality.ts";
import { writeReadme } from "./benchmarks/readme.ts";
import { judgedTargets, root, table } from "./benchmarks/rows.ts";
import { serverSection } from "./benchmarks/server.ts";
import { tokenSections } from "./benchmarks/token.ts";

const environment = attention[0];
judgePublished();
judgeFamily();
const sections = [
  [
    "Decode attention, one layer",
    "16 query and 8 KV heads of 128; ms per 1,024 tokens of context, median of the repeats, spread in brackets. `turboquant bench attention --shape qwen3-0.6b`; llama.cpp through `bench/peers/llama-cpp.ts --layers 1`, from the slope between the best tokens at depths 0 and 4096: its threads spin, and one busy neighbour multiplies its median.",
    attentionSection(),
  ],
  [
    "Whole decode",
    "Shape of Qwen3-0.6B with random weights, two threads. `turboquant bench --shape qwen3-0.6b --weights q8`, and node-llama-cpp's prebuilt binary on the same shape.",
    decodeSection(),
  ],
  ...peerSections(),
  ...loadSections(),
  ["Prefill", "2,048 tokens into four layers of the same shape. `turboquant bench prefill`.", prefillSection()],
  [
    "Memory",
    "32,768 tokens of the same shape, as allocated and as the process grows. `turboquant bench memory`.",
    memorySection(),
  ],
  [
    "Quality on a published model",
    "SmolLM2-135M-Instruct, its Q4_1 file, with the calibration that a first load makes, on *Treasure Island* against the f16 cache of the same weights. The rows with layers: those that `turboquant allocate --kv k2v2 --bits 2.33 --widths 2,3,4 --measure 2 --chunks 1 --verify-chunks 1` finds in the first 1,024 tokens, and one bit more for six of the sides of layers that those give more bits; the text that is judged begins with these tokens. Bits a value count scales, sinks and window. `GGUF=FILE bash bench/record-published.sh TEXT`.",
    publishedSection(),
  ],
  [
    "Quality",
    "qwen3-3m on a novel it never saw, 6 × 2,048 tokens, against the f16 cache of the same weights. `turboquant eval`. Bits a value count scales, sinks and window.",
    qualitySection("quality"),
  ],
  [
    "Quality of a larger model",
    "qwen3-9m of the reference family, whose checkpoint is not in this repository, calibrated on text that it wrote itself; the same novel and settings. Recall over 200 needles in some 1,400 tokens each, where measured. `bash bench/record.sh TEXT MODEL`.",
    qualitySection("quality-9m", "recall-9m"),
  ],
  [
    "Codes",
    "qwen3-3m with its own calibration, the same novel, 3 × 2,048 tokens, no sinks and no window: the published recipe at 2 to 4 bits, ours, and k4v4 and k2v2 with one lever changed at a time. `turboquant eval --ladder`.",
    codesSection(),
  ],
  [
    "Windows of 8 and of 16 bits",
    "k4v4 with sinks and windows of either width and several lengths, as far as recorded, the same novel, 6 × 2,048 tokens; what conversations take with them is under *The server*. `turboquant eval`.",
    windowSection(),
  ],
  [
    "Recall of a stretched model",
    "qwen3-3m, the package's own model of 4,096 tokens, as it was trained and stretched by YaRN: right answers by length and depth, three codes in each prompt, all asked for, so a cell has as many answers as there are prompts. The f16 cache is stretched as the formats are: what it misses, the model or the stretching missed; what a format misses beside it, the codes. Too few prompts to tell formats apart. `bash bench/record-far.sh TEXT`.",
    farSection(),
  ],
  [
    "Agreement with another implementation",
    "`npx tsx tools/check-oracle.ts`: the published codec in PyTorch. Limits: 0.5 % in PPL, 15 % in mean KLD. Two random rotations of one codec differ by more than that at 2 and 3 bits, so a row that does not agree under our own random signs is measured under the oracle's. Its codebooks of 7 and 8 bits had not converged: its KLD is an upper limit there.",
    oracleSection(),
  ],
  [
    "The server",
    "qwen3-3m, 64 streaming clients, every answer compared with the same request run alone. `npx tsx bench/server/main.ts`.",
    serverSection(),
  ],
  ...gpuSections("gpu"),
  ...millionSections("gpu-h200-million"),
  ...batchSections("gpu-h200-batch"),
  ...tokenSections("gpu-h200-token"),
  ...prefillAttentionSections("gpu-h200-prefill"),
  ...productSections("gpu-h200-products"),
  ...gpuSections("gpu-h200"),
] as const;

const judged = judgedTargets();
const text = `# Benchmarks

Made by \`npx tsx tools/benchmarks-doc.ts\` from the rows that \`bash bench/record.sh\` wrote; do not edit.
Recorded on ${environment?.["cpu_info"] ?? "?"}, ${environment?.["runtime"] ?? "?"}, ${String(environment?.["test_time"] ?? "").slice(0, 10)}, commit ${environment?.["build_commit"] ?? "?"}.
A shared machine with two cores: trust ratios of one run, not absolute times.

## Targets

${table(["what", "target", "measured", ""], judged)}

${sections.map(([title, how, body]) => `## ${title}\n\n${how}\n\n${body}`).join("\n\n")}
`;
writeFileSync(`${root}docs/benchmarks.md`, text);

writeReadme();
console.log(`docs/benchmarks.md: ${judged.filter((j) => j[3] === "met").length} of ${judged.length} targets met`);
for (const j of judged) if (j[3] !== "met") console.log(j.join(" | "));
