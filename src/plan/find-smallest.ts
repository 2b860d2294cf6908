/**
 * @file Finds the smallest cache format that passes a gate on a model: from small to large, chunk by chunk, with no more
 * evidence than needed. The caller passes in the evaluation.
 */
import { wilson } from "../eval/intervals.ts";
import { type ChunkEvidence, type Criterion, type Gate, judge, MIN_CHUNKS, type Verdict, verdictOf } from "./gates.ts";

/** A format to be tried. */
export interface Rung {
  readonly kv: string;
  /** Bytes for each token, which order the rungs by size. */
  readonly bytesPerToken: number;
}

/** Share of prompts that a format and the exact cache answer exactly. */
export interface Recall {
  readonly own: number;
  readonly base: number;
  readonly prompts: number;
}

export interface RungResult extends Rung {
  /** `skipped`: not evaluated to the end, for the given reason; `open`: the available chunks did not decide it. */
  readonly verdict: Verdict | "skipped";
  readonly reason: string;
  readonly criteria: readonly Criterion[];
  readonly recall: Recall | null;
  readonly chunks: number;
  readonly tokens: number;
}

export interface SearchOptions<Row extends ChunkEvidence> {
  readonly gate: Gate;
  readonly rungs: readonly Rung[];
  /** Whether `a` certainly has at least the quality of `b`. */
  readonly isAtLeast: (a: string, b: string) => boolean;
  /** The format whose p99.9 tail is the reference; it is evaluated only when a decision depends on the tail. */
  readonly reference: string;
  readonly maxChunks: number;
  /** Evaluates these formats on one chunk of the text; rows in the same order. */
  readonly evaluate: (kv: readonly string[], chunk: number) => Promise<readonly Row[]>;
  /** null: there is no recall gate. */
  readonly recall: ((kv: string) => Promise<Recall>) | null;
  /** Called before each round with the formats that are not decided yet. */
  readonly onRound?: (open: readonly string[], chunk: number) => void;
}

export interface SearchResult {
  /** The smallest format that passes; null when none does. */
  readonly chosen: string | null;
  /** From small to large. */
  readonly rungs: readonly RungResult[];
}

/** Number of rungs that are evaluated side by side, sharing the pass of the exact cache. Larger ones wait until these have failed. */
const WIDTH = 4;
/** When the exact cache recalls less than this share, recall says nothing about formats. */
const MIN_BASE_RECALL = 0.5;

interface State extends Rung {
  readonly rows: ChunkEvidence[];
  criteria: readonly Criterion[];
  verdict: Verdict;
  recall: Recall | null;
  reason: string;
}

export async function findSmallest<Row extends ChunkEvidence>(options: SearchOptions<Row>): Promise<SearchResult> {
  const states = [...options.rungs]
    .sort((a, b) => a.bytesPerToken - b.bytesPerToken)
    .map((rung): State => ({ ...rung, rows: [], criteria: [], verdict: "open", recall: null, reason: "" }));
  const tails: (number | undefined)[] = [];
  for (;;) {
    await walk(states, tails, options);
    const best = smallestPassing(states);
    if (!best || !options.recall || best.recall) return { chosen: best?.kv ?? null, rungs: results(states, options) };
    best.recall = await options.recall(best.kv);
    const { own, base } = best.recall;
    if (base >= MIN_BASE_RECALL && base - own > options.gate.needleLoss) {
      best.verdict = "fail";
      best.reason = "recall";
    }
  }
}

/** Evaluates until no undecided rung can change the result. */
async function walk<Row extends ChunkEvidence>(
  states: readonly State[],
  tails: (number | undefined)[],
  options: SearchOptions<Row>,
): Promise<void> {
  const { gate, maxChunks, reference } = options;
  for (;;) {
    const open = states.filter((state) => state.verdict === "open" && !skipReason(state, states, options));
    const active = open.filter(({ rows }) => rows.length < maxChunks).slice(0, WIDTH);
    if (active.length === 0) return;
    const chunk = Math.min(...active.map(({ rows }) => rows.length));
    const group = active.filter(({ rows }) => rows.length === chunk);
    const names = group.map(({ kv }) => kv);
    options.onRound?.(names, chunk);
    const rows = await options.evaluate(names, chunk);
    for (const [i, state] of group.entries()) {
      state.rows.push(rows[i]!);
      if (state.kv === reference) tails[chunk] = rows[i]!.kldP999;
      decide(state, tails, gate);
      if (!failsByTailAlone(state)) continue;
      for (const at of state.rows.keys()) {
        tails[at] ??= (await options.evaluate([reference], at))[0]!.kldP999;
      }
      decide(state, tails, gate);
    }
  }
}

function decide(state: State, tails: readonly (number | undefined)[], gate: Gate): void {
  state.criteria = judge(gate, state.rows, tails);
  state.verdict = verdictOf(state.criteria);
  // A pass counts only once the spread between chunks is known; a failure may count before.
  if (state.verdict === "pass" && state.rows.length < MIN_CHUNKS) state.verdict = "open";
  const deciding = state.criteria.filter(({ verdict }) => verdict === state.verdict);
  state.reason = deciding.map(({ name }) => name).join(", ");
}

const failsByTailAlone = ({ verdict, criteria }: State): boolean =>
  verdict === "fail" && criteria.every((c) => c.verdict !== "fail" || c.name === "KLD p99.9");

/** Of equal size, the one with the smaller divergence. */
function smallestPassing(states: readonly State[]): State | undefined {
  const kld = ({ criteria }: State): number => criteria.find(({ name }) => name === "KLD mean")!.estimate.value;
  return states
    .filter(({ verdict }) => verdict === "pass")
    .sort((a, b) => a.bytesPerToken - b.bytesPerToken || kld(a) - kld(b))[0];
}

function skipReason(
  state: State,
  states: readonly State[],
  { isAtLeast }: Pick<SearchOptions<ChunkEvidence>, "isAtLeast">,
): string | null {
  const worseThan = states.find(
    (other) => other.verdict === "fail" && other !== state && isAtLeast(other.kv, state.kv),
  );
  if (worseThan) return `no better than ${worseThan.kv}`;
  const best = smallestPassing(states);
  return best && state.bytesPerToken >= best.bytesPerToken ? `not smaller than ${best.kv}` : null;
}

function results(states: readonly State[], options: SearchOptions<ChunkEvidence>): RungResult[] {
  return states.map((state) => {
    const { kv, bytesPerToken, rows, criteria, recall } = state;
    const skipped = state.verdict === "open" ? skipReason(state, states, options) : null;
    return {
      kv,
      bytesPerToken,
      verdict: skipped ? "skipped" : state.verdict,
      reason: skipped ?? state.reason,
      criteria,
      recall,
      chunks: rows.length,
      tokens: rows.reduce((sum, { tokens }) => sum + tokens, 0),
    };
  });
}

/**
 * The counts of a recall gate, and the 95 % interval of the difference of the two shares (Newcombe 1998, method 10: from both
 * Wilson intervals). counts: whether the exact cache recalls enough for the gate to be meaningful
 */
export function recallCounts({ own, base, prompts }: Recall) {
  const hits = { own: Math.round(own * prompts), base: Math.round(base * prompts) };
  const [o, b] = [wilson(hits.own, prompts), wilson(hits.base, prompts)];
  const difference = own - base;
  return {
    ...hits,
    low: difference - Math.hypot(own - o.low, b.high - base),
    high: difference + Math.hypot(o.high - own, base - b.low),
    counts: base >= MIN_BASE_RECALL,
  };
}
