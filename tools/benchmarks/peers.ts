/** @file What llama.cpp and wllama do with the same GGUF file (peer-logits, peer-speed and peer-browser.jsonl): logits, then speed. */
import { fixed, type Row, recordedAs, rows, table, target, times } from "./rows.ts";

interface Difference {
  readonly kldMean: number;
  readonly kldMax: number;
  readonly sameTop: number;
  readonly positions: number;
}
interface LogitsRow {
  readonly model: string;
  readonly types: readonly string[];
  readonly version: string;
  readonly llamaCpp: string;
  readonly commit: string;
  readonly difference: Difference;
  readonly oursToExact: Difference | null;
  readonly llamaToExact: Difference | null;
  readonly greedy: { readonly tokens: number; readonly firstDifferent: number | null; readonly margin: number | null };
  readonly tokenizer: { readonly texts: number; readonly different: readonly string[] };
}
interface SpeedRow {
  readonly engine: string;
  readonly model: string;
  readonly kv: string;
  readonly test: string;
  readonly depth: number;
  readonly status: string;
  readonly threads: number;
  readonly repeats: number;
  readonly cpu: string;
  readonly version: string;
  readonly browser?: string;
  readonly tokPerSec: { readonly median: number; readonly min: number; readonly max: number } | null;
}

type Section = readonly [title: string, how: string, body: string];

const read = <T>(name: string): T[] => rows(name) as unknown as T[];
const power = (value: number | undefined): string => (value === undefined ? "–" : value.toExponential(1));
const isExact = ({ types }: LogitsRow): boolean => types.every((type) => type === "f32" || type === "f16");

function logitsSection(all: readonly LogitsRow[]): Section {
  const body = all.map((row) => {
    const { difference, oursToExact, llamaToExact, greedy, tokenizer } = row;
    const { firstDifferent, margin } = greedy;
    return [
      row.model,
      power(difference.kldMean),
      power(difference.kldMax),
      `${difference.sameTop}/${difference.positions}`,
      power(llamaToExact?.kldMean),
      power(oursToExact?.kldMean),
      firstDifferent === null ? "same" : `from ${firstDifferent + 1} (${fixed(margin!, 2)})`,
      tokenizer.different.length === 0 ? "same" : `${tokenizer.different.length} of ${tokenizer.texts} differ`,
    ];
  });
  const worst = (some: readonly LogitsRow[]): number => Math.max(...some.map((row) => row.difference.kldMean));
  const ownLoss = all.flatMap(({ oursToExact }) => oursToExact?.kldMean ?? []);
  target(
    "logits to llama.cpp, mean KL, worst of F32 and F16 files",
    worst(all.filter(isExact)) * 1e6,
    "≤",
    10,
    "× 1e-6",
  );
  target("logits to the file's own weights, mean KL, worst file", Math.max(...ownLoss) * 1e3, "≤", 2, "× 1e-3");
  const [first] = all;
  return [
    "Logits, beside llama.cpp",
    `The same GGUF file and tokens, caches in f32; node-llama-cpp ${first!.version}, commit ${first!.commit}. Files are the embedded model written in each type and architecture, and what else is named. KL in nats; *exact* is our arithmetic on the file's weights in f32. llama.cpp multiplies F32 as it is, and F16 on most CPUs; on some it rounds activations to f16 then, as *exact ‖ llama.cpp* shows, and it rounds them for the other types (to bf16, or int8 in blocks of 32, of 256 in super-blocks); ours are int16. Greedy text: ${first!.greedy.tokens} tokens; where it differs, in brackets by how many nats llama.cpp preferred its token. \`npx tsx bench/peers/logits.ts\`.`,
    table(
      [
        "file",
        "mean KL(llama.cpp ‖ ours)",
        "max",
        "same top token",
        "exact ‖ llama.cpp",
        "exact ‖ ours",
        "greedy text",
        "tokens",
      ],
      body,
    ),
  ];
}

/** goals: what is judged, the least ratio of k4v4 to the peer's best cache, and the tests that are meant */
function speedSection(
  all: readonly SpeedRow[],
  peer: string,
  title: string,
  how: string,
  goals: readonly (readonly [what: string, least: number, isMeant: (row: SpeedRow) => boolean])[],
): Section {
  const best = ({ model, test }: SpeedRow): number =>
    Math.max(
      ...all
        .filter((row) => row.model === model && row.test === test && row.engine === peer)
        .map((row) => row.tokPerSec?.median ?? 0),
    );
  const body = all.map((row) => {
    const { engine, tokPerSec: rate } = row;
    const isOurs = engine !== peer;
    return [
      row.model,
      row.test,
      isOurs ? `ours, ${row.kv}` : `${engine}, ${row.kv}`,
      rate ? fixed(rate.median, 1) : row.status,
      rate ? `${fixed(rate.min, 1)}–${fixed(rate.max, 1)}` : "",
      rate && isOurs ? times(rate.median / best(row)) : "",
    ];
  });
  const k4v4 = recordedAs(all as unknown as Row[], "k4v4");
  for (const [what, least, isMeant] of goals) {
    for (const row of all.filter((one) => one.engine !== peer && one.kv === k4v4 && isMeant(one))) {
      const value = (row.tokPerSec?.median ?? Number.NaN) / best(row);
      const at = reads(row) ? "" : ` at depth ${row.depth}`;
      target(`${row.model}: ${what}${at}, ${k4v4} to ${peer}'s best cache`, value, "≥", least, "×");
    }
  }
  const { threads, cpu, version, browser } = all[0]!;
  const counts = [...new Set(all.map((row) => row.repeats))].sort((a, b) => a - b);
  const repeats = counts.length === 1 ? counts[0] : `${counts[0]} to ${counts.at(-1)}`;
  const where = `${threads} threads, ${cpu}${browser ? `, Chromium ${browser}` : ""}, ${peer === "llama.cpp" ? "llama.cpp of node-llama-cpp" : peer} ${version}, median of ${repeats}`;
  return [title, `${where}. ${how}`, table(["file", "test", "cache", "tok/s", "range", `to ${peer}'s best`], body)];
}

const reads = (row: SpeedRow): boolean => row.test.startsWith("pp");
const decodesAt = (isDeep: boolean) => (row: SpeedRow) => !reads(row) && row.depth > 0 === isDeep;

/** Whether its weights are more than the memory of one WebAssembly instance. */
const isLarge = ({ model }: SpeedRow): boolean => model.startsWith("qwen3-8b");

/** Those that were recorded. */
export function peerSections(): Section[] {
  const [logits, speed, browser] = [
    read<LogitsRow>("peer-logits"),
    read<SpeedRow>("peer-speed"),
    read<SpeedRow>("peer-browser"),
  ];
  const sections: Section[] = [];
  if (logits.length > 0) sections.push(logitsSection(logits));
  if (speed.length > 0) {
    const how =
      "Both engines have the file loaded, each in its process, and are asked in turns. `npx tsx bench/peers/speed.ts FILE.gguf`.";
    sections.push(
      speedSection(speed, "llama.cpp", "Speed on the same file, beside llama.cpp", how, [
        ["decode", 0.8, (row) => isLarge(row) && !reads(row)],
        ["decode", 1.2, (row) => !isLarge(row) && decodesAt(false)(row)],
        ["decode", 1.5, (row) => !isLarge(row) && decodesAt(true)(row)],
        ["prefill", 0.7, reads],
      ]),
    );
  }
  if (browser.length > 0) {
    const how =
      "Both have the file loaded in one page, and are asked in turns. `npx tsx bench/peers/browser.ts FILE.gguf`.";
    sections.push(
      speedSection(browser, "wllama", "Speed in a page, beside wllama", how, [
        ["in a page, decode", 1, decodesAt(false)],
        ["in a page, decode", 1, decodesAt(true)],
        ["in a page, prefill", 1, reads],
      ]),
    );
  }
  return sections;
}
