/** @file The loop of a sweep: asks the strategy for trials, hands them to the workers, stores what comes back. */
import { TurboQuantError } from "../../errors.ts";
import { type Candidate, type RunSettings, runId } from "../../lab/candidates.ts";
import { rateOf, scoreOf } from "../../lab/objective.ts";
import type { Objective } from "../../lab/space-schema.ts";
import type { Strategy, Trial } from "../../lab/strategies/strategy.ts";
import { isDone, latestRows, type SweepRow } from "../../lab/sweep-row.ts";
import { type Evaluator, type Task, type TaskResult, WorkerEnded } from "./task.ts";

/** Where rows go; `SweepStore` keeps them. */
export interface RowSink {
  readonly rows: readonly SweepRow[];
  add(row: SweepRow): void;
}

export interface SweepPlan {
  readonly strategy: Strategy;
  readonly objective: Objective;
  readonly settings: RunSettings;
  /** Where a model of the space lies. */
  readonly refOf: (model: string) => string;
  /** Relative time of a run of this model and context. */
  readonly costOf: (candidate: Candidate, chunks: number) => number;
  /** Wall time after which no run is begun. */
  readonly maxSeconds: number;
  readonly retryFailed: boolean;
  readonly commit: string | null;
}

export interface SweepState {
  readonly done: number;
  /** Runs the sweep comes to, as far as is known. */
  readonly total: number;
  readonly failed: number;
  readonly best: SweepRow | null;
  readonly secondsLeft: number | null;
}

export interface SweepOutcome extends SweepState {
  /** Runs of this session. */
  readonly added: number;
  /** True when the time was up before the runs were done. */
  readonly isOutOfTime: boolean;
  /** What the workers kept ending by, when that stopped the sweep; the runs it met are left to do. */
  readonly stoppedBy: string | null;
}

interface Pending extends Trial {
  readonly id: string;
}

/** Formats that share one run of the base: it is paid once for all of them. */
const MAX_GROUP = 4;

/** Ends of one worker, with no task of any worker coming back between: then it is hardly the formats. */
const MAX_DEATHS = 3;

export class Sweep {
  readonly #plan: SweepPlan;
  readonly #sink: RowSink;
  readonly #rows = new Map<string, SweepRow>();
  readonly #ids = new Map<Candidate, Map<number, string>>();
  readonly #running = new Map<string, { readonly cost: number; share: number }>();
  readonly #attempts = new Map<string, number>();
  readonly #deaths = new Map<Evaluator, number>();
  /** Runs that ended their worker twice; failures once another task has shown that workers work. */
  readonly #withheld = new Map<string, SweepRow>();
  #stoppedBy: string | null = null;
  readonly #secondsBefore: number;
  readonly #startedAt = performance.now();
  #added = 0;
  #costDone = 0;
  #waiting: (() => void)[] = [];

  constructor(plan: SweepPlan, sink: RowSink) {
    this.#plan = plan;
    this.#sink = sink;
    for (const row of latestRows(sink.rows)) {
      if (isDone(row) || !plan.retryFailed) this.#rows.set(row.id, row);
    }
    this.#secondsBefore = sink.rows.reduce((most, row) => Math.max(most, row.sweepSeconds), 0);
  }

  /**
   * Works until all trials are done, the time is up or `signal` aborts; every row that was finished is stored.
   * onChange: after every row and every report of a worker
   */
  async run(
    evaluators: readonly Evaluator[],
    signal: AbortSignal,
    onChange: (state: SweepState) => void,
  ): Promise<SweepOutcome> {
    // A failure of one lane (a full disk) ends the others.
    const stop = new AbortController();
    const all = AbortSignal.any([signal, stop.signal]);
    const lanes = evaluators.map((evaluator) =>
      this.#lane(evaluator, evaluators.length, all, onChange).catch((error) => {
        stop.abort(error);
        this.#wake();
        throw error;
      }),
    );
    const wake = () => this.#wake();
    signal.addEventListener("abort", wake);
    try {
      const results = await Promise.allSettled(lanes);
      // What was asked for comes before what followed from it.
      signal.throwIfAborted();
      if (stop.signal.aborted) throw stop.signal.reason;
      const failed = results.find((result) => result.status === "rejected");
      if (failed) throw failed.reason;
    } finally {
      signal.removeEventListener("abort", wake);
    }
    const state = this.state();
    return {
      ...state,
      added: this.#added,
      isOutOfTime: state.done < state.total && this.#isLate(),
      stoppedBy: this.#stoppedBy,
    };
  }

  state(): SweepState {
    const trials = this.#trials();
    const known = trials.map(({ id }) => this.#rows.get(id));
    const rows = known.filter((row) => row !== undefined);
    const open = trials.filter((_, i) => known[i] === undefined);
    const openCost = open.reduce((sum, { candidate, chunks }) => sum + this.#plan.costOf(candidate, chunks), 0);
    const allCost = trials.reduce((sum, { candidate, chunks }) => sum + this.#plan.costOf(candidate, chunks), 0);
    // Trials that are not decided yet are taken to be like the others.
    const unknownCost = trials.length > 0 ? ((this.#plan.strategy.limit - trials.length) * allCost) / trials.length : 0;
    let runningDone = 0;
    for (const { cost, share } of this.#running.values()) runningDone += cost * share;
    const costDone = this.#costDone + runningDone;
    const elapsed = this.#elapsed();
    const left = costDone > 0 ? (elapsed / costDone) * (openCost + unknownCost - runningDone) : null;
    const done = rows.filter(isDone);
    return {
      done: rows.length,
      total: this.#plan.strategy.limit,
      failed: rows.length - done.length,
      best: done.reduce<(typeof done)[number] | null>((a, b) => (a && a.score <= b.score ? a : b), null),
      secondsLeft: left === null ? null : Math.min(left, Math.max(0, this.#plan.maxSeconds - this.#totalSeconds())),
    };
  }

  #elapsed(): number {
    return (performance.now() - this.#startedAt) / 1000;
  }

  #totalSeconds(): number {
    return this.#secondsBefore + this.#elapsed();
  }

  #isLate(): boolean {
    return this.#totalSeconds() >= this.#plan.maxSeconds;
  }

  #trials(): Pending[] {
    const { strategy } = this.#plan;
    const scores = (trial: Trial): number | undefined => {
      const row = this.#rows.get(this.#idOf(trial));
      if (row === undefined) return undefined;
      return isDone(row) ? row.score : Number.POSITIVE_INFINITY;
    };
    return strategy.trials(scores).map((trial) => ({ ...trial, id: this.#idOf(trial) }));
  }

  #idOf({ candidate, chunks }: Trial): string {
    let ids = this.#ids.get(candidate);
    if (!ids) this.#ids.set(candidate, (ids = new Map()));
    let id = ids.get(chunks);
    if (!id) ids.set(chunks, (id = runId(candidate, chunks, this.#plan.settings)));
    return id;
  }

  /** One worker: takes groups of runs until none is left. */
  async #lane(
    evaluator: Evaluator,
    lanes: number,
    signal: AbortSignal,
    onChange: (state: SweepState) => void,
  ): Promise<void> {
    for (;;) {
      signal.throwIfAborted();
      const group = this.#isLate() || this.#stoppedBy !== null ? [] : this.#take(lanes);
      if (group.length > 0) {
        await this.#evaluate(evaluator, group, signal, onChange);
        this.#wake();
      } else if (this.#running.size === 0) {
        if (this.#withheld.size === 0 || this.#stoppedBy !== null) return;
        // Nothing else is left to tell the runs from the workers, and a strategy may wait for them.
        this.#addWithheld();
      }
      // What the others are doing may bring new trials.
      else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }

  /** The next trial and others that go with it. */
  #take(lanes: number): Pending[] {
    const isTaken = (id: string): boolean => this.#rows.has(id) || this.#running.has(id) || this.#withheld.has(id);
    const open = this.#trials().filter(({ id }) => !isTaken(id));
    // A run whose worker has ended may be what ended it: alone, and after the others, it harms none of them.
    const isSuspect = ({ id }: Pending): boolean => (this.#attempts.get(id) ?? 0) > 0;
    const first = open.find((trial) => !isSuspect(trial)) ?? open[0];
    if (!first) return [];
    const size = isSuspect(first) ? 1 : Math.max(1, Math.min(MAX_GROUP, Math.ceil(open.length / lanes)));
    const group = open
      .filter(
        (trial) =>
          trial === first ||
          (!isSuspect(trial) &&
            trial.chunks === first.chunks &&
            trial.candidate.model === first.candidate.model &&
            trial.candidate.ctx === first.candidate.ctx),
      )
      .slice(0, size);
    for (const { id, candidate, chunks } of group) {
      this.#running.set(id, { cost: this.#plan.costOf(candidate, chunks), share: 0 });
    }
    return group;
  }

  async #evaluate(
    evaluator: Evaluator,
    group: readonly Pending[],
    signal: AbortSignal,
    onChange: (state: SweepState) => void,
  ): Promise<void> {
    const [{ candidate, chunks }] = group as [Pending, ...Pending[]];
    const task: Task = {
      ref: this.#plan.refOf(candidate.model),
      ctx: candidate.ctx,
      chunks,
      kv: group.map((trial) => trial.candidate.kv),
    };
    const onShare = (share: number): void => {
      for (const { id } of group) this.#running.get(id)!.share = share;
      onChange(this.state());
    };
    const evaluated = await evaluator.evaluate(task, onShare, signal).catch((error: unknown) => ({ error }));
    // Storing is no part of a run: when that fails (a full disk), nothing is wrong with the formats.
    try {
      if ("error" in evaluated && evaluated.error instanceof WorkerEnded) {
        this.#putOff(evaluator, group, evaluated.error, signal);
        return;
      }
      this.#deaths.clear();
      this.#addWithheld();
      if ("error" in evaluated) this.#fail(group, evaluated.error, signal);
      else for (const [i, trial] of group.entries()) this.#add(this.#doneRow(trial, evaluated, i));
    } finally {
      for (const { id } of group) this.#running.delete(id);
      onChange(this.state());
    }
  }

  /** Puts the runs of a group off, or down as failed. @throws what is no failure of a run */
  #fail(group: readonly Pending[], error: unknown, signal: AbortSignal): void {
    signal.throwIfAborted();
    if (!(error instanceof TurboQuantError)) throw error;
    // Alone, each tells whether it was the one.
    if (group.length > 1) this.#suspect(group);
    else this.#add(this.#failedRow(group[0]!, error.message));
  }

  /** A worker ended: its runs get another chance, alone; one that keeps ending stops the sweep. */
  #putOff(evaluator: Evaluator, group: readonly Pending[], { message }: WorkerEnded, signal: AbortSignal): void {
    signal.throwIfAborted();
    const deaths = (this.#deaths.get(evaluator) ?? 0) + 1;
    this.#deaths.set(evaluator, deaths);
    if (deaths >= MAX_DEATHS) this.#stoppedBy ??= message;
    // A process that was killed for memory may have been the wrong one.
    const isFirst = group.length > 1 || (this.#attempts.get(group[0]!.id) ?? 0) === 0;
    if (isFirst) this.#suspect(group);
    else this.#withheld.set(group[0]!.id, this.#failedRow(group[0]!, message));
  }

  #suspect(group: readonly Pending[]): void {
    for (const { id } of group) this.#attempts.set(id, (this.#attempts.get(id) ?? 0) + 1);
  }

  #addWithheld(): void {
    const rows = [...this.#withheld.values()];
    this.#withheld.clear();
    for (const row of rows) this.#add(row);
  }

  #add(row: SweepRow): void {
    this.#sink.add(row);
    this.#rows.set(row.id, row);
    this.#costDone += this.#running.get(row.id)?.cost ?? 0;
    this.#running.delete(row.id);
    this.#added++;
  }

  #failedRow(trial: Pending, error: string): SweepRow {
    return { ...this.#identity(trial), status: "failed", error };
  }

  #identity({ id, candidate, chunks }: Pending) {
    const { part, parameters, model, ctx, kv } = candidate;
    const date = new Date().toISOString();
    return { id, part, parameters, model, ctx, chunks, kv, date, sweepSeconds: this.#totalSeconds() };
  }

  #doneRow(trial: Pending, { rows, numParameters, backend }: TaskResult, i: number): SweepRow {
    const row = rows[i]!;
    return {
      ...row,
      ...this.#identity(trial),
      status: "done",
      score: scoreOf(this.#plan.objective, row),
      rate: rateOf(row),
      numParameters,
      backend,
      commit: this.#plan.commit,
    };
  }
}
