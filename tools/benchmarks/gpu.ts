/**
 * @file Sections of the benchmarks on a large NVIDIA GPU: our WebGPU backend (bench/gpu/main.ts) beside PyTorch and
 * transformers (gpu-peers.jsonl).
 */
import { fixed, num, type Row, recordedAs, rows, table, target, times } from "./rows.ts";

const of = (list: readonly Row[], kind: string): Row[] => list.filter((r) => r["kind"] === kind && !r["error"]);
const unique = <T>(list: readonly T[]): T[] => [...new Set(list)];
const ATTENTION_CONTEXTS = [4096, 32_768, 131_072] as const;

/** What a card is to reach. */
interface Goals {
  /** The least times that k4v4 is faster than fp16 SDPA with 32 query heads, at `ATTENTION_CONTEXTS`. */
  readonly toSdpa: readonly (number | null)[];
  /** The most microseconds of decode attention of a format there. */
  readonly attention: Readonly<Record<string, readonly (number | null)[]>>;
  /** The least tokens a second of whole decode: the slowest of contexts to 2,048, and at 65,536; and of a prompt of 4,096 tokens. */
  readonly decode: number;
  readonly decodeFar: number | null;
  readonly prefill: number;
}

const FIRST_GOALS: Goals = { toSdpa: [null, 1, 1.5], attention: {}, decode: 250, decodeFar: null, prefill: 10_000 };
const GOALS: Readonly<Record<string, Goals>> = {
  H200: {
    toSdpa: [],
    attention: {
      k4v4: [11, 26, 70],
      k3v3: [null, null, 70],
      k8v8: [null, null, 110],
      f16: [13, 46, 140],
    },
    decode: 700,
    decodeFar: 500,
    prefill: 55_000,
  },
};

/** The rows of one card, ours and those of the peers. */
interface Gpu {
  readonly own: readonly Row[];
  readonly peers: readonly Row[];
  /** Short name of the card, e.g. H100. */
  readonly card: string;
  readonly goals: Goals;
}

function readGpu(record: string): Gpu {
  const [own, peers] = [rows(record), rows(`${record}-peers`)];
  const card = /[A-Z]+\d+/.exec(String(of(peers, "machine")[0]?.["gpu"] ?? ""))?.[0] ?? "GPU";
  return { own, peers, card, goals: GOALS[card] ?? FIRST_GOALS };
}

const ascending = (list: readonly number[]): number[] => unique(list).sort((a, b) => a - b);

/** Microseconds of the fastest fp16 SDPA of any backend, taken from the replay of a CUDA graph, which is the fairest to it. */
function bestSdpa({ peers }: Gpu, context: number, heads: number): number {
  const times = of(peers, "sdpa")
    .filter((r) => num(r, "context") === context && num(r, "queryHeads") === heads && r["timing"] === "graph")
    .map((r) => num(r, "medianUs"));
  return times.length > 0 ? Math.min(...times) : Number.NaN;
}

function attentionSection(gpu: Gpu): string {
  const { own, card } = gpu;
  const all = of(own, "attention");
  const parts: string[] = [];
  for (const heads of ascending(all.map((r) => num(r, "queryHeads")))) {
    const some = all.filter((r) => num(r, "queryHeads") === heads);
    const contexts = ascending(some.map((r) => num(r, "context")));
    const at = (kv: string, context: number): Row | undefined =>
      some.find((r) => r["kv"] === kv && num(r, "context") === context);
    const body = unique(some.map((r) => String(r["kv"]))).map((kv) => [
      `ours, ${kv}`,
      ...contexts.map((c) => {
        const us = num(at(kv, c), "medianUs");
        return Number.isFinite(us) ? `${fixed(us, 1)} (${times(bestSdpa(gpu, c, heads) / us)})` : "";
      }),
    ]);
    parts.push(
      `${heads} query heads:`,
      table(
        ["", ...contexts.map((c) => `${c.toLocaleString("en-US")} keys`)],
        [["best fp16 SDPA of PyTorch", ...contexts.map((c) => fixed(bestSdpa(gpu, c, heads), 1))], ...body],
      ),
    );
    if (heads !== 32) continue;
    for (const [i, context] of ATTENTION_CONTEXTS.entries()) {
      const place = `${context.toLocaleString("en-US")} keys`;
      const k4v4 = recordedAs(some, "k4v4");
      const least = gpu.goals.toSdpa[i];
      if (least) {
        const ratio = bestSdpa(gpu, context, heads) / num(at(k4v4, context), "medianUs");
        target(`${card}: decode attention, ${k4v4}, ${place}, to the fastest fp16 SDPA`, ratio, "≥", least, "×");
      }
      for (const [format, limits] of Object.entries(gpu.goals.attention)) {
        const kv = recordedAs(some, format);
        const most = limits[i];
        if (most)
          target(`${card}: decode attention, ${kv}, ${place}`, num(at(kv, context), "medianUs"), "≤", most, "µs", 1);
      }
    }
  }
  return parts.join("\n\n");
}

/** A cache as a row of a whole model has it. */
const cacheOf = (r: Row): string => `${r["kv"]}${r["isCalibrated"] ? ", calibrated" : ""}`;

const arithmeticOf = (r: Row): string =>
  `${r["precision"]}${(r["without"] as unknown as string[]).includes("subgroups") ? ", no subgroups" : ""}`;

function checkSection(gpu: Gpu): string {
  const { own, card } = gpu;
  // In these rows `error` is the measured figure.
  const checks = own.filter((r) => r["kind"] === "attention-check" && !r["failed"]);
  const all = checks.filter((r) => num(r, "pageBytes") === 0);
  for (const [precision, limit] of [
    ["f32", 1e-6],
    ["f16", 1e-5],
  ] as const) {
    const some = all.filter((r) => r["precision"] === precision);
    const worst = some.length > 0 ? Math.max(...some.map((r) => num(r, "error"))) : Number.NaN;
    target(
      `${card}: 1 − cos of attention to f64, ${precision} kernels, in units of 1e-6`,
      worst * 1e6,
      "≤",
      limit * 1e6,
      "",
      3,
    );
  }
  const body = all.map((r) => [
    `${r["kv"]}, head_dim ${num(r, "headDim")}, ${num(r, "group")} heads a KV head`,
    arithmeticOf(r),
    String(num(r, "context")),
    num(r, "error").toExponential(1),
  ]);
  const others = checks.filter((r) => num(r, "pageBytes") > 0);
  const otherText = others.map(
    (r) => `${r["kv"]} ${arithmeticOf(r)}: ${(num(r, "pageBytes") * 100).toPrecision(2)} % of the bytes`,
  );
  const text =
    others.length > 0
      ? `Left out are the ${others.length} cases in which a code at the boundary of its cell came out differently from the reference's, so that ` +
        `the outputs differ by what those codes are worth (${otherText.join(" · ")}).`
      : `The pages of all ${checks.length} cases are the reference's to the byte. The figure is the greater of 1 − cos and of the squared relative ` +
        "error of the length.";
  return [table(["cache", "arithmetic", "keys", "1 − cos"], body), text].join("\n\n");
}

const hf = ({ peers }: Gpu, mode: string, context: number, mask?: boolean): number =>
  num(
    of(peers, "hf").find(
      (r) =>
        r["mode"] === mode &&
        num(r, "context") === context &&
        (mask === undefined || (r["mask"] as unknown as boolean) === mask),
    ),
    "tokPerSec",
  );

function decodeSection(gpu: Gpu): string {
  const { own, card } = gpu;
  const all = of(own, "model").filter((r) => num(r, "nGen") > 0);
  const contexts = ascending(all.map((r) => num(r, "context")));
  const named = (weights: string, kv: string) => all.filter((r) => r["weights"] === weights && cacheOf(r) === kv);
  const speed = (weights: string, kv: string, context: number): number =>
    num(
      named(weights, kv).find((r) => num(r, "context") === context),
      "tokPerSec",
    );
  const figures = (of: (context: number) => number) => contexts.map((c) => fixed(of(c), 0));
  const body = unique(all.map((r) => `${r["weights"]} ${cacheOf(r)}`)).map((key) => {
    const [weights, kv] = [key.slice(0, key.indexOf(" ")), key.slice(key.indexOf(" ") + 1)];
    return [`ours, ${weights} weights, ${kv}`, ...figures((c) => speed(weights, kv, c))];
  });
  const peerRows = [
    ["transformers, eager", ...figures((c) => hf(gpu, "eager", c))],
    ["transformers, static cache in a CUDA graph", ...figures((c) => hf(gpu, "graph", c, true))],
    ["the same without a mask", ...figures((c) => hf(gpu, "graph", c, false))],
    ["the same, compiled", ...figures((c) => hf(gpu, "compile", c, false))],
  ];
  const worst = (list: readonly number[]): number => (list.length > 0 ? Math.min(...list) : Number.NaN);
  const k4v4 = recordedAs(all, "k4v4");
  const short = contexts.filter((c) => c <= 2048);
  const long = contexts.filter((c) => c >= 4096);
  target(
    `${card}: whole decode, f16 weights, ${k4v4}, slowest at contexts to 2,048`,
    worst(short.map((c) => speed("f16", k4v4, c))),
    "≥",
    gpu.goals.decode,
    "tok/s",
    0,
  );
  const { decodeFar } = gpu.goals;
  if (decodeFar) {
    const far = speed("f16", k4v4, 65_536);
    target(`${card}: whole decode, f16 weights, ${k4v4}, at 65,536`, far, "≥", decodeFar, "tok/s", 0);
  }
  target(
    `${card}: whole decode, ${k4v4} to our f16 cache, worst from 4,096 on`,
    worst(long.map((c) => speed("f16", k4v4, c) / speed("f16", "f16", c))),
    "≥",
    1,
    "×",
  );
  target(
    `${card}: whole decode, ${k4v4} to our f16 cache at 65,536`,
    speed("f16", k4v4, 65_536) / speed("f16", "f16", 65_536),
    "≥",
    1.5,
    "×",
  );
  return table(["tok/s at context", ...contexts.map((c) => c.toLocaleString("en-US"))], [...body, ...peerRows]);
}

function prefillSection(gpu: Gpu): string {
  const { own, card } = gpu;
  const all = of(own, "model").filter((r) => num(r, "nPrompt") > 0);
  const body = all.map((r) => [
    `ours, ${r["weights"]} weights, ${cacheOf(r)}`,
    String(num(r, "nPrompt")),
    fixed(num(r, "tokPerSec"), 0),
  ]);
  const peer = of(gpu.peers, "hf-prefill").map((r) => [
    "transformers, eager, fp16",
    String(num(r, "tokens")),
    fixed(num(r, "tokPerSec"), 0),
  ]);
  const k4v4 = recordedAs(all, "k4v4");
  const k4 = all.find((r) => r["weights"] === "f16" && cacheOf(r) === k4v4 && num(r, "nPrompt") === 4096);
  target(`${card}: prefill of 4,096 tokens into ${k4v4}`, num(k4, "tokPerSec"), "≥", gpu.goals.prefill, "tok/s", 0);
  return table(["", "tokens", "tok/s"], [...body, ...peer]);
}

function memorySection(gpu: Gpu): string {
  const { own, card } = gpu;
  const all = of(own, "memory");
  const f16 = all.find((r) => r["kv"] === "f16");
  const k4v4 = recordedAs(all, "k4v4");
  const k4 = all.find((r) => r["kv"] === k4v4);
  target(
    `${card}: KV memory of 65,536 tokens as the driver reports it, f16 to ${k4v4} with its window`,
    num(f16, "deviceBytes") / num(k4, "deviceBytes"),
    "≥",
    3.5,
    "×",
  );
  const mebi = (r: Row, field: string): string => fixed(num(r, field) / 2 ** 20, 0);
  return table(
    ["cache", "numBytes, MiB", "held for pages, MiB", "growth by nvidia-smi, MiB", "smaller"],
    all.map((r) => [
      String(r["kv"]),
      mebi(r, "kvBytes"),
      mebi(r, "storageBytes"),
      mebi(r, "deviceBytes"),
      times(num(f16, "deviceBytes") / num(r, "deviceBytes")),
    ]),
  );
}

/** Empty when no rows were recorded. record: name of our rows in bench/results; those of the peers end in `-peers` */
export function gpuSections(record: string): (readonly [string, string, string])[] {
  const gpu = readGpu(record);
  const { own, peers, card } = gpu;
  if (own.length === 0) return [];
  const machine = of(peers, "machine")[0];
  return [
    [
      `On an ${card}: decode attention`,
      `One step of one layer, 8 KV heads of 128, microseconds on the GPU (in brackets: times faster than SDPA). Ours: Dawn in Node, \`bench/gpu/main.ts\`; PyTorch: the fastest of its backends in a CUDA graph, \`bench/gpu/sdpa.py\`. ${machine?.["gpu"] ?? ""}, driver ${machine?.["driver"] ?? "?"}. More keys and values than the chip's cache holds.`,
      attentionSection(gpu),
    ],
    [
      `On an ${card}: correctness`,
      "Outputs of decode and prefill attention against the reference backend's, which sums in f64, on random queries, keys and values.",
      checkSection(gpu),
    ],
    [
      `On an ${card}: whole decode`,
      "Qwen3-0.6B's shape with random weights, one sequence, the clock's time of a program that waits for each token's logits. transformers in fp16: `bench/gpu/hf_decode.py`.",
      decodeSection(gpu),
    ],
    [`On an ${card}: prefill`, "The same shape, an empty cache.", prefillSection(gpu)],
    [`On an ${card}: memory`, "A cache of 65,536 tokens of the same shape.", memorySection(gpu)],
  ];
}
