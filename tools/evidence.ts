/**
 * @file Measures what cache formats cost a model, and writes a report: divergence with tails, tasks that need memory of the context,
 * needles by length and depth, greedy continuations, at several lengths. One line, for any model:
 *
 *   npx tsx tools/evidence.ts --model DIR --text novel.txt --out docs/lab/NAME
 *
 * It writes NAME.jsonl, a row for each measurement, and NAME.md, the tables of all rows. Run again, it goes on where it stopped: a row
 * that is there is not measured again, and what the exact cache gave is kept (docs/evaluation.md). Ctrl-C and --time end it after the
 * measurement that is under way, with a report of what there is. --plan only counts.
 *
 * On several machines with the same files of the model, its calibration included: the same line with --part 1/3, 2/3 and 3/3 and an --out
 * of each one's own. Then `cat NAME-*.jsonl > NAME.jsonl`, and the line without --part measures what is missing and writes the report of all.
 *
 * Other people's codecs run on the reference backend alone: --kv int4,nvfp4,kvarn-4 --backend reference, with fewer --tokens.
 */
import { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import "../src/node/install.ts";
import type { BackendName } from "../src/backends/registry.ts";
import { buildCommit } from "../src/cli/build-info.ts";
import { entryStore } from "../src/cli/eval/entry-store.ts";
import { readTextFile } from "../src/cli/eval/text-input.ts";
import { duration, splitKvList } from "../src/cli/options.ts";
import { LLM } from "../src/engine/llm.ts";
import { evaluate } from "../src/eval/evaluate.ts";
import type { ReadPath } from "../src/eval/read-path.ts";
import { formatCount, formatDuration } from "../src/format-number.ts";
import { parseKvSpec } from "../src/quant/parse-kv-spec.ts";
import { readArguments, readCommandLine, refuse } from "./command-line.ts";
import { type EvidenceRow, reportOf } from "./evidence/report.ts";
import { idOf, readPart, stepsOf } from "./evidence/steps.ts";

/** Our presets with their defaults and bare, and the baselines that every backend but WebGPU has kernels for. */
const FORMATS = [
  ...["k4v4", "k3v3", "k2v2"],
  ...["k4v4,window=16bit", "k3v3,window=16bit", "k2v2,window=16bit"],
  ...["k4v4,sinks=0,window=0", "k2v2,sinks=0,window=0"],
  ...["q8_0", "q4_0r", "kivi-4", "kivi-2", "paper-4"],
].join(",");

const { values: flags } = readCommandLine({
  options: {
    model: { type: "string", short: "m" },
    text: { type: "string" },
    out: { type: "string" },
    kv: { type: "string", default: FORMATS },
    lengths: { type: "string", default: "1024,4096,8192" },
    tokens: { type: "string", default: "8192" },
    tasks: { type: "string", default: "10" },
    needles: { type: "string", default: "4" },
    greedy: { type: "string", default: "100" },
    time: { type: "string" },
    backend: { type: "string", default: "auto" },
    threads: { type: "string", short: "t" },
    part: { type: "string", default: "1/1" },
    plan: { type: "boolean", default: false },
  },
});

const count = (name: "tokens" | "tasks" | "needles" | "greedy"): number => {
  const value = Number(flags[name]);
  return Number.isInteger(value) && value >= 0
    ? value
    : refuse(`--${name}: expected a whole number, got ${flags[name]}`);
};
const { model, text: textPath, out } = flags;
if (model === undefined || textPath === undefined || out === undefined)
  refuse("expected --model, --text and --out; see --help");
const kv = splitKvList(flags.kv);
for (const spec of kv) parseKvSpec(spec);
const lengths = flags.lengths.split(",").map(Number);
const sizes = { tokens: count("tokens"), tasks: count("tasks"), needles: count("needles"), greedy: count("greedy") };
const isOwn = readPart(flags.part) ?? refuse(`--part: expected such as 2/3, got ${flags.part}`);

const until = performance.now() + (flags.time === undefined ? Number.POSITIVE_INFINITY : duration(flags.time));
const text = (await readTextFile(textPath))!;
const llm = await LLM.load(model, {
  kv: "f16",
  otherKv: kv,
  calibration: "auto",
  backend: flags.backend as BackendName | "auto",
  ...(flags.threads !== undefined && { threads: Number(flags.threads) }),
});
for (const note of llm.notes) console.error(note);

const usable = lengths.filter((length) => length <= llm.config.maxPositionEmbeddings);
const steps = stepsOf({ kv, lengths: usable, ...sizes }).filter((_step, index) => isOwn(index));
const scope = JSON.stringify([llm.weightsFingerprint, llm.ops.name, text.text.length, text.source]);
const commit = await buildCommit();
const rowsPath = `${out}.jsonl`;
const reportPath = `${out}.md`;
mkdirSync(dirname(out), { recursive: true });
const known: EvidenceRow[] = existsSync(rowsPath)
  ? readFileSync(rowsPath, "utf8")
      .split("\n")
      .filter(Boolean)
      .map((line) => JSON.parse(line))
  : [];
const ids = new Set(known.map(({ id }) => id));
const open = steps.filter((step) => !ids.has(idOf(step, scope)));
const total = open.reduce((sum, { size }) => sum + size, 0);
console.error(
  `${steps.length} measurements, ${steps.length - open.length} are there; ${formatCount(total)} token passes are left at most`,
);

let interrupted = false;
process.on("SIGINT", () => {
  if (interrupted) process.exit(130);
  interrupted = true;
  console.error("\nending after this measurement; Ctrl-C again ends at once");
});

const store = await entryStore({ cache: true });
const readPaths = new Map<string, ReadPath>();
const started = performance.now();
let fed = 0;
let missing = open.length;
for (const step of flags.plan ? [] : open) {
  if (interrupted || performance.now() > until) break;
  const rate = fed / (performance.now() - started);
  const left = rate > 0 ? `, ${formatDuration((total - fed) / rate / 1000)} left` : "";
  console.error(
    `${open.length - missing + 1} of ${open.length}${left}: ${step.measurement} ${step.length || ""} ${step.kv}`,
  );
  const [row] = await evaluate(llm, {
    text: text.text,
    textSource: text.source,
    kv: [step.kv],
    ...step.options,
    readPaths,
    ...(store && { exact: store }),
  });
  const record: EvidenceRow = {
    id: idOf(step, scope),
    measurement: step.measurement,
    length: step.length,
    commit,
    row: row!,
  };
  appendFileSync(rowsPath, `${JSON.stringify(record)}\n`);
  known.push(record);
  fed += step.size;
  missing--;
}

const wanted = new Map(steps.map((step) => [idOf(step, scope), step]));
const head = {
  model: llm.name,
  text: text.source,
  command: commandOf(),
  backend: llm.ops.describe(),
  missing,
};
// In the order of the plan, whenever they were measured.
const order = [...wanted.keys()];
// Files of several machines may have a row twice.
const rows = [...new Map(known.map((row) => [row.id, row])).values()]
  .filter(({ id }) => wanted.has(id))
  .sort((a, b) => order.indexOf(a.id) - order.indexOf(b.id));
if (!flags.plan) writeFileSync(reportPath, reportOf(rows, head));
if (!flags.plan) console.error(`${reportPath}: ${rows.length} of ${steps.length} measurements`);
await llm.dispose();

/** The line that was typed, with names in place of paths. */
function commandOf(): string {
  const plain = (path: string): string => path.replace(/^.*\//, "");
  const given = readArguments().map((word) =>
    word.includes("/") && (word !== out || word.startsWith("/")) ? plain(word) : word,
  );
  return `npx tsx tools/evidence.ts ${given.map((word) => (/[^\w./:@~+,=-]/.test(word) ? `'${word}'` : word)).join(" ")}`;
}
