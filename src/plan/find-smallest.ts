/**
 * @file Finds the smallest cache format that passes a gate on a model: by halves over the ladder, chunk by chunk, with no more
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
  /** Evaluates these formats on one chunk of the text; rows in the same order. null: the time was over before the chunk was. */
  readonly evaluate: (kv: readonly string[], chunk: number) => Promise<readonly Row[] | null>;
  /** null: there is no recall gate, or no time is left for it. */
  readonly recall: ((kv: string) => Promise<Recall | null>) | null;
  /** Whether to end with what is known. hasAnswer: whether any format has passed. Default: never */
  readonly isOver?: (hasAnswer: boolean) => boolean;
  /** Called before a format is evaluated on a chunk. */
  readonly onRound?: (kv: string, chunk: number) => void;
}

export interface SearchResult {
  /** The smallest format that passes; null when none does. */
  readonly chosen: string | null;
  /** From small to large. */
  readonly rungs: readonly RungResult[];
}

/** Chunks that the smallest promising rung takes before the next larger one goes along with it, while none has passed. */
const PATIENCE = MIN_CHUNKS;
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
    if (!best.recall) return { chosen: best.kv, rungs: results(states, options) };
    const { own, base } = best.recall;
    if (base >= MIN_BASE_RECALL && base - own > options.gate.needleLoss) {
      best.verdict = "fail";
      best.reason = "recall";
    }
  }
}

/** Evaluates until no undecided rung can change the result, or until the limit. */
async function walk<Row extends ChunkEvidence>(
  states: readonly State[],
  tails: (number | undefined)[],
  options: SearchOptions<Row>,
): Promise<void> {
  const { gate, reference, isOver = () => false } = options;
  for (;;) {
    const hasAnswer = states.some(({ verdict }) => verdict === "pass");
    const state = isOver(hasAnswer) ? null : nextOf(states, options);
    if (!state) return;
    const chunk = state.rows.length;
    options.onRound?.(state.kv, chunk);
    const rows = await options.evaluate([state.kv], chunk);
    if (!rows) return;
    state.rows.push(rows[0]!);
    if (state.kv === reference) tails[chunk] = rows[0]!.kldP999;
    decide(state, tails, gate);
    if (!failsByTailAlone(state)) continue;
    for (const at of state.rows.keys()) {
      if (tails[at] !== undefined) continue;
      const own = await options.evaluate([reference], at);
      // A failure that depends on a tail that nobody knows is none.
      if (!own) {
        state.verdict = "open";
        return;
      }
      tails[at] = own[0]!.kldP999;
    }
    decide(state, tails, gate);
  }
}

/**
 * The rung to read a chunk with next; null when nothing can change the result.
 *
 * One chunk each, by halves, first finds where the ladder turns from bad to good. The smallest that looks good then gets chunks until
 * it is certain, and after a few of them the next larger ones too, so that an end before the last chunk leaves an answer.
 */
function nextOf(states: readonly State[], options: SearchOptions<ChunkEvidence>): State | null {
  const active = states.filter(
    (state) => state.verdict === "open" && state.rows.length < options.maxChunks && !skipReason(state, states, options),
  );
  const isTried = ({ rows }: State): boolean => rows.length > 0;
  const looksGood = (state: State): boolean =>
    state.verdict === "pass" || (active.includes(state) && isTried(state) && state.criteria.every((c) => c.isMet));
  const good = states.findIndex(looksGood);
  const end = good < 0 ? states.length : good;
  const bad = states.slice(0, end).findLastIndex(isTried);
  const between = active.filter(
    (state) => !isTried(state) && states.indexOf(state) > bad && states.indexOf(state) < end,
  );
  if (between.length > 0) return between[Math.floor((between.length - 1) / 2)]!;
  const first = states[good];
  if (first?.verdict === "open") {
    const isSafe = first.rows.length < PATIENCE || states.some(({ verdict }) => verdict === "pass");
    const larger = active.find((state) => states.indexOf(state) > good);
    return isSafe || !larger || larger.rows.length >= first.rows.length ? first : larger;
  }
  // Below what passes, first those that one chunk may rule out, and then what is nearest to the gate.
  return active.findLast((state) => !isTried(state)) ?? active.at(-1) ?? null;
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
