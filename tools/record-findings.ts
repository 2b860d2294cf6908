/**
 * @file Measures what docs/findings.md states about models and appends the rows to bench/results/findings.jsonl:
 * `npx tsx tools/record-findings.ts --text FILE [--models qwen3-1m,qwen3-3m,DIR] [--chunks 2] [--threads N]`
 *
 * The text is a novel that the checkpoints have not seen (Treasure Island, Project Gutenberg 120). Rows that were recorded
 * already, here or by check-oracle.ts, are not measured again, so a run can be interrupted.
 */
import { appendFileSync, existsSync, readFileSync } from "node:fs";
import { basename } from "node:path";
import "../src/node/install.ts";
import { buildCommit } from "../src/cli/build-info.ts";
import { LLM } from "../src/engine/llm.ts";
import { Runner } from "../src/engine/runner.ts";
import { allocate } from "../src/eval/allocate.ts";
import { evaluate } from "../src/eval/evaluate.ts";
import { decodersFor } from "../src/eval/format-decoders.ts";
import { readCommandLine, refuse } from "./command-line.ts";
import { type FindingRow, type FormatFinding, findingRows, findRow, OUT, oracleRows } from "./findings/rows.ts";

/**
 * Our presets with the model's calibration and without; then formats as published, so that only the bits differ; one side
 * alone; QJL; codebooks of few iterations.
 */
const FORMATS = [
  ...["k2v2", "k3v3", "k4v4", "k5v4"].flatMap((kv) =>
    ["", ",window=16bit"].flatMap((window) => [`${kv}${window}`, `${kv},calibration=off${window}`]),
  ),
  ...[2, 3, 4, 5, 6, 7].map((bits) => `paper-${bits}`),
  ...[2, 3, 4].flatMap((bits) => [`paper-${bits},v=f16`, `paper-${bits},k=f16`]),
  ...[3, 4, 5].map((bits) => `paper-${bits}+qjl`),
  ...[10, 100].map((iterations) => `paper-4,codebook=${iterations}`),
];
/** These are measured on the same text as QJL and the codebooks, even if check-oracle.ts has rows on more text. */
const COMPARED = ["paper-3", "paper-4", "paper-5"];
const DIAGNOSED = ["paper-4", "paper-3", "paper-2"];
/** Codes without sinks and window, at 3 bits: the mean of the article's "4 bits early, 2 bits late". */
const ALLOCATED = { kv: "k3v3,sinks=0,window=0", bits: 3, ctx: 1024, chunks: 2, verifyChunks: 4 } as const;
const QUESTION = "What is the capital of France?";
const CTX = 2048;
/** Number of formats that share one pass of the exact cache. */
const AT_ONCE = 6;

const { values } = readCommandLine({
  options: {
    text: { type: "string" },
    models: { type: "string", default: "qwen3-1m,qwen3-3m" },
    chunks: { type: "string", default: "2" },
    threads: { type: "string" },
  },
});
if (!values.text || !existsSync(values.text)) {
  refuse("--text: expected a plain text file; pass a novel the models were not trained on");
}
const text = readFileSync(values.text, "utf8");
const textSource = basename(values.text);
const commit = await buildCommit();

function record(rows: readonly FindingRow[]): void {
  const date = new Date().toISOString();
  appendFileSync(OUT, rows.map((row) => `${JSON.stringify({ ...row, commit, date })}\n`).join(""));
}

for (const ref of values.models.split(",")) {
  await using llm = await LLM.load(ref, {
    kv: "f16",
    backend: "wasm",
    ...(values.threads !== undefined && { threads: Number(values.threads) }),
  });
  const model = basename(llm.name);
  const known = findingRows().filter((row) => row.model === model);
  const published = oracleRows().filter((row) => row.model === model);
  const has = (kind: FormatFinding["kind"], kv: string): boolean => findRow(known, kind, model, kv) !== undefined;
  const answers = ["f16", ...FORMATS].filter((kv) => !has("answer", kv));
  for (const kv of answers)
    record([{ kind: "answer", model, kv, question: QUESTION, answer: await answerOf(llm, kv) }]);
  const cosines = DIAGNOSED.filter((kv) => !has("cosines", kv));
  if (cosines.length > 0) {
    const rows = await evaluate(llm, { text, textSource, kv: cosines, ctx: 512, chunks: 1, diagnose: true });
    record(rows.map(({ kv, layers, top1, tokens }) => ({ kind: "cosines", model, kv, top1, tokens, layers: layers! })));
  }
  console.log(`${model}: ${answers.length} answers, ${cosines.length} formats diagnosed`);
  const open = FORMATS.filter(
    (kv) => !has("eval", kv) && (COMPARED.includes(kv) || !published.some((row) => row.kv === kv)),
  );
  for (let at = 0; at < open.length; at += AT_ONCE) {
    const kv = open.slice(at, at + AT_ONCE);
    const rows = await evaluate(llm, { text, textSource, kv, ctx: CTX, chunks: Number(values.chunks) });
    record(rows.map((row) => ({ kind: "eval", ...row, model })));
    console.log(`${model}: ${kv.join(", ")} in ${rows[0]!.seconds.toFixed(0)} s`);
  }
  if (!has("allocation", ALLOCATED.kv)) {
    record([{ kind: "allocation", model, kv: ALLOCATED.kv, ...(await allocationOf(llm)) }]);
    console.log(`${model}: bits of layers`);
  }
}

/** Runs `allocate` as `turboquant allocate` does. */
async function allocationOf(llm: LLM) {
  const options = { ...ALLOCATED, text, textSource, widths: [2, 3, 4, 5, 6, 8], measure: [2, 4, 6] };
  const { sensitivities, best, bestUniform, gain, bits } = await allocate(llm, options);
  const alone = (side: "k" | "v"): number[] =>
    sensitivities.filter((s) => s.side === side && s.bits === 2).map(({ kldMean }) => kldMean);
  const figures = ({ kv, row }: typeof best) => ({ kv, kldMean: row.kldMean });
  return { bits, alone: { k: alone("k"), v: alone("v") }, best: figures(best), uniform: figures(bestUniform), gain };
}

/** A greedy answer of up to 24 tokens, through the chat template. */
async function answerOf(llm: LLM, kv: string): Promise<string> {
  const [decoder] = await decodersFor(llm, [kv]);
  const cache = decoder!.createCache();
  const sequence = cache.createSequence();
  const runner = new Runner(decoder!, { contextLength: llm.config.maxPositionEmbeddings });
  try {
    const prompt = await llm.encodeChat([{ role: "user", content: QUESTION }]);
    let logits = await runner.prefill(sequence, prompt);
    const answer: number[] = [];
    while (answer.length < 24) {
      const token = logits.reduce((best, logit, id) => (logit > logits[best]! ? id : best), 0);
      if (llm.eosTokens.has(token)) break;
      answer.push(token);
      logits = await runner.step([{ sequence, tokens: [token], logits: "last" }]);
    }
    return llm.tokenizer.decode(answer).trim();
  } finally {
    sequence.release();
    decoder!.dispose();
  }
}
