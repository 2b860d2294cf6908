/**
 * @file The tuner's search: from the rule's plan to better ones, round by round. A round checks what is new, times it beside the best so far in turns,
 * and the next one begins at the best. In the end the best has to beat the rule's plan by more than the samples of both scatter.
 */
import type { Plan, Winner } from "../../backends/webgpu/plans/kernel-plans.ts";
import { quantile } from "../../eval/divergence.ts";

/** A kernel with a shape, on a device with data of that shape. */
export interface Subject {
  readonly key: string;
  readonly rule: Plan;
  /** Plans to try beside this one. */
  neighbours(from: Plan): readonly Plan[];
  nameOf(plan: Plan): string;
  /** Runs it once. returns: how far its numbers are from the reference's, and how far they may be */
  check(plan: Plan): Promise<{ readonly difference: number; readonly limit: number }>;
  /** Microseconds of one run. */
  time(plan: Plan): Promise<number>;
  dispose(): Promise<void>;
}

/** A plan that was tried. */
export interface TuneRow {
  readonly kernel: string;
  readonly plan: string;
  readonly isRule: boolean;
  /** Median of the later half of its samples, their interquartile range, and their number; null where it was not timed. */
  readonly us: number | null;
  readonly spread: number | null;
  readonly samples: number;
  readonly difference: number | null;
  /** Why it is out: wrong numbers, or what the device said. */
  readonly dropped?: string;
  /** The best so far, and the rule's. */
  readonly best: string;
  readonly bestUs: number | null;
  readonly ruleUs: number | null;
}

export interface SearchLimits {
  /** When to end, by `now`. */
  readonly until: number;
  /** A round takes at least so long where there is time: drivers go on optimizing a kernel while it runs. */
  readonly roundMs: number;
  readonly signal?: AbortSignal | undefined;
  /** Names of plans not to try; one that the device does not survive is added. */
  readonly excluded?: Set<string>;
  readonly now?: () => number;
}

export interface SearchResult {
  /** Null where the rule's plan stays, which then is the best that is known. */
  readonly winner: Winner | null;
  /** Of the rule's plan, microseconds. */
  readonly ruleUs: number | null;
  /** Whether nothing was left to try. */
  readonly isWhole: boolean;
  /** The error that ended the search: what is on the device is lost with it. */
  readonly failure: unknown;
}

interface Tried {
  readonly plan: Plan;
  readonly name: string;
  readonly difference: number;
  readonly samples: number[];
}

const LEAST_PASSES = 3;
const DUEL_PASSES = 11;
/** What takes so much longer than the best is timed no further: at first, since kernels get faster while they run, and from half of a round on. */
const HOPELESS = 2.5;
const BEHIND = 1.25;
/** The least gain that is worth another plan. */
const LEAST_GAIN = 0.01;

const sorted = (values: readonly number[]): Float64Array => Float64Array.from(values).sort();
/** The later half: what comes first is slower while the clock rises. */
const later = (samples: readonly number[]): Float64Array => sorted(samples.slice(samples.length >> 1));
const medianOf = (samples: readonly number[]): number => quantile(later(samples), 0.5);
const spreadOf = (samples: readonly number[]): number => {
  const values = later(samples);
  return quantile(values, 0.75) - quantile(values, 0.25);
};

const usOf = (tried: Tried | null): number | null =>
  tried && tried.samples.length > 0 ? medianOf(tried.samples) : null;

export async function* search(subject: Subject, limits: SearchLimits): AsyncGenerator<TuneRow, SearchResult> {
  const { until, roundMs, signal, excluded = new Set(), now = () => performance.now() } = limits;
  const seen = new Set(excluded);
  let current = "";
  const isOver = (): boolean => signal?.aborted === true || now() >= until;
  let best: Tried | null = null;
  let rule: Tried | null = null;
  const row = (tried: Pick<Tried, "name">, more: Partial<TuneRow>): TuneRow => ({
    kernel: subject.key,
    plan: tried.name,
    isRule: tried.name === subject.nameOf(subject.rule),
    ...{ us: null, spread: null, samples: 0, difference: null },
    ...more,
    best: best?.name ?? tried.name,
    bestUs: usOf(best),
    ruleUs: usOf(rule),
  });
  const end = (isWhole: boolean, failure: unknown = null): SearchResult => ({
    winner: null,
    ruleUs: usOf(rule),
    isWhole,
    failure,
  });

  let next: readonly Plan[] = [subject.rule, ...subject.neighbours(subject.rule)];
  let isWhole = false;
  try {
    while (next.length > 0 && !isOver()) {
      const fresh: Tried[] = [];
      // What is left of the time is for times.
      const checksUntil = (now() + until) / 2;
      for (const plan of next) {
        const name = subject.nameOf(plan);
        if (seen.has(name)) continue;
        if (fresh.length > 1 && (signal?.aborted || now() > checksUntil)) break;
        seen.add(name);
        current = name;
        const { difference, limit } = await subject.check(plan);
        if (!(difference <= limit)) {
          const dropped = `wrong numbers: off by ${difference.toExponential(1)}, expected at most ${limit}`;
          yield row({ name }, { difference, dropped });
          // Nothing can be compared with a rule that is wrong here, and nothing beats it safely.
          if (plan === subject.rule) return end(false);
          continue;
        }
        fresh.push({ plan, name, difference, samples: [] });
        rule ??= fresh[0]!;
      }
      const before: Tried | null = best;
      let racing: Tried[] = [...(best ? [best] : []), ...fresh];
      if (fresh.length === 0) {
        isWhole = true;
        break;
      }
      const started = now();
      // Those of the round before were taken at another moment.
      if (best) best.samples.length = 0;
      for (let pass = 0; ; pass++) {
        if (signal?.aborted) break;
        const isLong = now() - started >= roundMs;
        if (pass > 0 && isOver()) break;
        if (isLong && pass >= 2 * LEAST_PASSES) break;
        for (const tried of racing) {
          // A pass of many slow plans is not worth what it takes beyond the time.
          if (pass > 0 && isOver()) break;
          current = tried.name;
          tried.samples.push(await subject.time(tried.plan));
        }
        if (pass + 1 < LEAST_PASSES) continue;
        const least = Math.min(...racing.map(({ samples }) => medianOf(samples)));
        const most = least * (now() - started < roundMs / 2 ? HOPELESS : BEHIND);
        racing = racing.filter((tried) => tried === rule || tried === best || medianOf(tried.samples) <= most);
      }
      const timed = [...(before ? [before] : []), ...fresh].filter(({ samples }) => samples.length >= LEAST_PASSES);
      // What the rounds before have found stays, although this one was too short.
      if (timed.length === 0) break;
      for (const tried of timed) {
        // A plan that was given up early was timed while it was slower.
        const isRaced = tried === rule || tried === before || racing.includes(tried);
        if (isRaced && (!best || medianOf(tried.samples) < medianOf(best.samples))) best = tried;
        if (tried === before) continue;
        const { samples, difference } = tried;
        yield row(tried, { us: medianOf(samples), spread: spreadOf(samples), samples: samples.length, difference });
      }
      if (!best) break;
      next = (best === before ? next : subject.neighbours(best.plan)).filter((plan) => !seen.has(subject.nameOf(plan)));
      isWhole = next.length === 0;
    }
    if (!best || !rule || best === rule || signal?.aborted) return end(isWhole);
    // The duel.
    const pair = [rule, best].map(({ plan, name }) => ({ plan, name, samples: [] as number[] }));
    for (let pass = 0; pass < 2 * DUEL_PASSES; pass++) {
      for (const { plan, name, samples } of pair) {
        current = name;
        samples.push(await subject.time(plan));
      }
    }
    const [ruleUs, us] = pair.map(({ samples }) => medianOf(samples)) as [number, number];
    const spread = Math.max(...pair.map(({ samples }) => spreadOf(samples)));
    const isBetter = ruleUs - us > Math.max(spread, LEAST_GAIN * ruleUs);
    return {
      winner: isBetter ? { key: subject.key, plan: best.plan, us, ruleUs, spread } : null,
      ruleUs,
      isWhole,
      failure: null,
    };
  } catch (failure) {
    excluded.add(current);
    yield row({ name: current }, { dropped: failure instanceof Error ? failure.message : String(failure) });
    return end(false, failure);
  }
}
