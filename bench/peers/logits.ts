/**
 * @file Our logits against llama.cpp's on the same GGUF file: `npx tsx bench/peers/logits.ts [FILE.gguf …]`.
 *
 *   options: --models q8_0,q4_k_m,… | all  --tokens 256  --text FILE  --backend wasm  -t 1  --json  -o FILE.jsonl
 *
 * Without a file it writes models of every tensor type and architecture (`written-models.ts`) and compares those; --models chooses
 * among them. Both sides have a cache in f32. Besides the two it computes the file's weights in f32, so that a difference can be
 * told to be ours or llama.cpp's. Exits with 1 when a model is above a bar (`faultsOf`).
 */
import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import "../../src/node/install.ts";
import { DEFAULT_PROMPT } from "../../src/cli/default-prompt.ts";
import { LLM } from "../../src/engine/llm.ts";
import { openCheckpoint } from "../../src/formats/open-checkpoint.ts";
import { getPlatform } from "../../src/platform.ts";
import { readCommandLine, refuse } from "../../tools/command-line.ts";
import {
  compareGreedy,
  type Difference,
  difference,
  differentlyCut,
  type GreedyComparison,
  ourLogits,
  theirGreedyText,
  theirLogits,
  withExactSequence,
} from "./compare-logits.ts";
import { openLlamaPeer } from "./llama-peer.ts";
import { commit } from "./record.ts";
import { WRITTEN_MODELS, writtenModels } from "./written-models.ts";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
/** Bars of mean KL divergences in nats. */
const BAR = {
  /** KL(llama.cpp ‖ ours) of F32, which both sides multiply as it is. */
  exact: 1e-5,
  /** The same of F16, for which llama.cpp rounds activations to f16 on some CPUs; 2e-5 is the most that was seen. */
  halves: 1e-4,
  /** KL(llama.cpp ‖ ours) of other types: llama.cpp rounds activations to bf16, or to int8 in blocks of 32 or 256; ours to int16. */
  rounded: 1e-3,
  /** More than this is no rounding. */
  most: 2e-2,
  /** KL(exact ‖ ours) of types whose codes we compute with. */
  kept: 1e-5,
  /** KL(exact ‖ ours) of types that become q8, which costs what a Q8_0 file costs; Q4_K's scales become f16. */
  converted: 2e-3,
};
/** KL divergences of two losses do not quite add up; this many times their sum is still explained by them. */
const EXPLAINED = 1.5;
const KEPT = new Set(["f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "q5_0", "iq4_nl", "iq4_xs", "mxfp4"]);
const GREEDY = { prompt: 64, tokens: 24 };

const { values: flags, positionals } = readCommandLine({
  allowPositionals: true,
  options: {
    models: { type: "string" },
    tokens: { type: "string", default: "256" },
    text: { type: "string" },
    backend: { type: "string", default: "wasm" },
    threads: { type: "string", short: "t", default: "1" },
    json: { type: "boolean", default: false },
    output: { type: "string", short: "o" },
  },
});

const asked = flags.models ?? (positionals.length > 0 ? "" : "all");
const chosen = asked === "all" ? WRITTEN_MODELS : asked.split(",").filter(Boolean);
const unknown = chosen.find((name) => !WRITTEN_MODELS.includes(name));
if (unknown !== undefined) refuse(`--models: expected some of ${WRITTEN_MODELS.join(", ")}, got ${unknown}`);
const numTokens = Number(flags.tokens);
if (!(Number.isInteger(numTokens) && numTokens > GREEDY.prompt)) {
  refuse(`--tokens: expected a whole number above ${GREEDY.prompt}, got ${flags.tokens}`);
}
const threads = Number(flags.threads);
if (!(Number.isInteger(threads) && threads >= 1)) refuse(`-t: expected a whole number from 1, got ${flags.threads}`);
for (const file of [...positionals, ...(flags.text ? [flags.text] : [])]) {
  if (!existsSync(file)) refuse(`${file}: no such file`);
}
const text = flags.text ? readFileSync(flags.text, "utf8") : DEFAULT_PROMPT;
/** Whole lines, and what tokenizers stumble over. */
const texts = [
  ...text.split("\n").slice(0, 40),
  ...[
    "",
    " ",
    "  two  spaces ",
    "\n\n\tx\r\n",
    "It's WE'LL don't",
    "x1234567890,000.5",
    "naïve café",
    "Привет, 你好!",
    "👩‍👩‍👧🇩🇪",
  ],
];

interface Row {
  readonly model: string;
  readonly types: readonly string[];
  /** KL(llama.cpp ‖ ours). */
  readonly difference: Difference;
  /** Both against the file's weights in f32; null where the weights are f32 already. */
  readonly oursToExact: Difference | null;
  readonly llamaToExact: Difference | null;
  readonly greedy: GreedyComparison;
  readonly tokenizer: { readonly texts: number; readonly different: readonly string[] };
  readonly faults: readonly string[];
}

const load = (path: string, weights: "auto" | "f32"): Promise<LLM> =>
  LLM.load(path, {
    backend: flags.backend as "wasm",
    kv: "f32",
    weights,
    threads,
    contextLength: numTokens + GREEDY.prompt + GREEDY.tokens,
  });

/** Types of the file's matrices. */
async function matrixTypes(path: string): Promise<string[]> {
  const source = await getPlatform().openSource(path, {});
  try {
    const tensors = await (await openCheckpoint(source)).tensors();
    return [...new Set([...tensors.values()].filter(({ shape }) => shape.length > 1).map(({ dtype }) => dtype))].sort();
  } finally {
    await source.close();
  }
}

/** What is above its bar, in words. */
function faultsOf({
  types,
  difference: found,
  oursToExact,
  llamaToExact,
  greedy,
  tokenizer,
}: Omit<Row, "faults">): string[] {
  const faults: string[] = [];
  const above = (what: string, value: number, bar: number): void => {
    if (!(value <= bar)) faults.push(`${what}: mean KL ${value.toExponential(1)} is above ${bar.toExponential(1)}`);
  };
  const [own, theirs] = [oursToExact?.kldMean ?? 0, llamaToExact?.kldMean ?? 0];
  const explained = Math.min(BAR.most, Math.max(BAR.rounded, EXPLAINED * (own + theirs)));
  const isHalf = types.every((type) => type === "f32" || type === "f16");
  const ofFloats = types.every((type) => type === "f32") ? BAR.exact : BAR.halves;
  above("to llama.cpp", found.kldMean, isHalf ? ofFloats : explained);
  above("to the weights in f32", own, types.every((type) => KEPT.has(type)) ? BAR.kept : BAR.converted);
  // Two tokens may each be off by the largest difference.
  if (greedy.margin !== null && greedy.margin > 2 * found.logProbMax) {
    faults.push(`greedy text differs at ${greedy.firstDifferent} in spite of a margin of ${greedy.margin.toFixed(3)}`);
  }
  const [text] = tokenizer.different;
  if (text !== undefined) faults.push(`${tokenizer.different.length} texts have other tokens: ${JSON.stringify(text)}`);
  return faults;
}

const peer = await openLlamaPeer(threads);

async function compare(name: string, path: string): Promise<Row> {
  const types = await matrixTypes(path);
  const model = await peer.load(path);
  try {
    await using llm = await load(path, "auto");
    const { vocabSize } = llm.config;
    const ids = Array.from(llm.tokenizer.encode(text, { addSpecialTokens: false })).slice(0, numTokens);
    const prompt = ids.slice(0, GREEDY.prompt);
    const sized = { contextSize: numTokens + GREEDY.tokens, threads };
    const theirs = await withExactSequence(model, sized, (sequence) => theirLogits(sequence, ids, vocabSize));
    const greedyText = await withExactSequence(model, sized, (sequence) =>
      theirGreedyText(sequence, prompt, GREEDY.tokens, vocabSize),
    );
    const ours = await ourLogits(llm, ids);
    let exact: Float32Array[] | null = null;
    if (types.some((type) => type !== "f32")) {
      await using plain = await load(path, "f32");
      exact = await ourLogits(plain, ids);
    }
    const row = {
      model: name,
      types,
      difference: difference(theirs, ours),
      oursToExact: exact && difference(exact, ours),
      llamaToExact: exact && difference(exact, theirs),
      greedy: await compareGreedy(llm, prompt, greedyText),
      tokenizer: { texts: texts.length, different: differentlyCut(llm, model, texts) },
    };
    return { ...row, faults: faultsOf(row) };
  } finally {
    await model.dispose();
  }
}

const small = (value: number | undefined): string => (value === undefined ? "–" : value.toExponential(1));

function line(row: Row): string {
  const { difference: found, greedy } = row;
  return [
    row.model.padEnd(24),
    small(found.kldMean).padStart(9),
    small(found.kldMax).padStart(9),
    `${found.sameTop}/${found.positions}`.padStart(9),
    small(found.logProbMax).padStart(9),
    small(row.llamaToExact?.kldMean).padStart(13),
    small(row.oursToExact?.kldMean).padStart(13),
    (greedy.firstDifferent === null ? "same" : `${greedy.firstDifferent} (${greedy.margin!.toFixed(3)})`).padStart(11),
    ` ${row.faults.length > 0 ? `ABOVE: ${row.faults.join("; ")}` : "ok"}`,
  ].join(" ");
}

const HEADER = [
  "model".padEnd(24),
  ...["mean KL", "max KL", "top-1", "|Δ ln p|"].map((title) => title.padStart(9)),
  ...["exact‖llama", "exact‖ours"].map((title) => title.padStart(13)),
  "greedy".padStart(11),
].join(" ");

const folder = mkdtempSync(join(tmpdir(), "turboquant-peers-"));
const stop = (): void => rmSync(folder, { recursive: true, force: true });
process.once("exit", stop);
for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => process.exit(130));

async function* subjects(): AsyncGenerator<readonly [name: string, path: string]> {
  for (const path of positionals) yield [basename(path), path];
  for (const { name, make } of await writtenModels(join(ROOT, "models"), chosen)) {
    const path = join(folder, `${name}.gguf`);
    writeFileSync(path, await make());
    yield [name, path];
    rmSync(path);
  }
}

const rows: Row[] = [];
if (!flags.json) {
  console.log(
    `KL(llama.cpp ‖ ours), ${numTokens} tokens, caches in f32, ${threads} threads, ${flags.backend}; ${peer.about.llamaCpp}`,
  );
  console.log(HEADER);
}
for await (const [name, path] of subjects()) {
  const row = await compare(name, path);
  rows.push(row);
  if (!flags.json) console.log(line(row));
  const record = { benchmark: "peer-logits", ...peer.about, ...commit(), backend: flags.backend, threads, ...row };
  if (flags.output) appendFileSync(flags.output, `${JSON.stringify(record)}\n`);
}
if (flags.json) console.log(JSON.stringify({ ...peer.about, ...commit(), backend: flags.backend, threads, rows }));
await peer.dispose();
process.exitCode = rows.some(({ faults }) => faults.length > 0) ? 1 : 0;
