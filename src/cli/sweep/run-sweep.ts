/** @file The loop of a sweep: gets trials from the strategy, distributes them to workers, and stores the results. */
import { TurboQuantError } from "../../errors.ts";
import { type Candidate, type RunSettings, runId } from "../../lab/candidates.ts";
import { rateOf, scoreOf } from "../../lab/objective.ts";
import { readsFewCodes } from "../../lab/report/recommendation.ts";
import type { Objective } from "../../lab/space-schema.ts";
import type { Strategy, Trial } from "../../lab/strategies/strategy.ts";
import { isDone, latestRows, type SweepRow } from "../../lab/sweep-row.ts";
import { linkedAbort } from "../../linked-abort.ts";
import { type Evaluator, type Task, type TaskResult, WorkerEnded } from "./task.ts";

/** Stores rows, as `SweepStore` does. */
export interface RowSink {
  readonly rows: readonly SweepRow[];
  add(row: SweepRow): void;
}

export interface SweepPlan {
  readonly strategy: Strategy;
  readonly objective: Objective;
  readonly settings: RunSettings;
  /** The directory or id from which a model of the space is loaded. */
  readonly refOf: (model: string) => string;
  /** Relative time of a run of this candidate. */
  readonly costOf: (candidate: Candidate, chunks: number) => number;
  /** Wall time in seconds after which no run is started. */
  readonly maxSeconds: number;
  readonly retryFailed: boolean;
  readonly commit: string | null;
}

export interface SweepState {
  readonly done: number;
  /** Expected number of runs in the sweep. */
  readonly total: number;
  readonly failed: number;
  readonly best: SweepRow | null;
  readonly secondsLeft: number | null;
}

export interface SweepOutcome extends SweepState {
  /** Number of runs done in this session. */
  readonly added: number;
  /** True when time ran out before all runs were done. */
  readonly isOutOfTime: boolean;
  /** The reason why workers kept dying, when that stopped the sweep. Their runs remain to be done. */
  readonly stoppedBy: string | null;
}

interface Pending extends Trial {
  readonly id: string;
}

/** The most formats in one task. They share one run of the base. */
const MAX_GROUP = 4;

/**
 * Deaths of one worker, without any completed task of any worker in between, after which the workers and not the formats are blamed.
 */
const MAX_DEATHS = 3;

export class Sweep {
  readonly #plan: SweepPlan;
  readonly #sink: RowSink;
  readonly #rows = new Map<string, SweepRow>();
  readonly #ids = new Map<Candidate, Map<number, string>>();
  readonly #running = new Map<string, { readonly cost: number; share: number }>();
  readonly #attempts = new Map<string, number>();
  readonly #deaths = new Map<Evaluator, number>();
  /** Runs that killed their worker twice. They count as failed once another task has shown that workers can work. */
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
   * Works until all trials are done, the time is up or `signal` aborts. Every finished row is stored.
   * onChange: called after every row and every report of a worker
   */
  async run(
    evaluators: readonly Evaluator[],
    signal: AbortSignal,
    onChange: (state: SweepState) => void,
  ): Promise<SweepOutcome> {
    // An error in one lane, such as a full disk, stops the other lanes.
    const { controller: stop, release } = linkedAbort(signal);
    const lanes = evaluators.map((evaluator) =>
      this.#lane(evaluator, evaluators.length, stop.signal, onChange).catch((error) => {
        stop.abort(error);
        this.#wake();
        throw error;
      }),
    );
    const wake = () => this.#wake();
    signal.addEventListener("abort", wake);
    try {
      const results = await Promise.allSettled(lanes);
      // An abort by the user has precedence over errors that it caused.
      signal.throwIfAborted();
      if (stop.signal.aborted) throw stop.signal.reason;
      const failed = results.find((result) => result.status === "rejected");
      if (failed) throw failed.reason;
    } finally {
      signal.removeEventListener("abort", wake);
      release();
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
    // The remaining trials of the strategy are assumed to take as long as the known ones.
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
      best: done
        .filter((row) => !readsFewCodes(row))
        .reduce<(typeof done)[number] | null>((a, b) => (a && a.score <= b.score ? a : b), null),
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
      // Where hardly any codes were read, the figures are those of sinks and window, from which nothing is to be learned.
      return isDone(row) && !readsFewCodes(row) ? row.score : Number.POSITIVE_INFINITY;
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
        // No other task is left that could show whether workers work, and the strategy may be waiting for these runs.
        this.#addWithheld();
      }
      // Running tasks of other lanes may lead to new trials.
      else await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }

  /** Takes the next trial and others that can share its base run. */
  #take(lanes: number): Pending[] {
    const isTaken = (id: string): boolean => this.#rows.has(id) || this.#running.has(id) || this.#withheld.has(id);
    const open = this.#trials().filter(({ id }) => !isTaken(id));
    // A run whose worker died may have caused it. It runs alone and after the others, so that it cannot harm them.
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
    // A failure to store, such as a full disk, is not a failure of the formats.
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

  /**
   * Retries the runs of a group one by one, or records them as failed.
   * @throws the error itself when no run is to blame
   */
  #fail(group: readonly Pending[], error: unknown, signal: AbortSignal): void {
    signal.throwIfAborted();
    if (!(error instanceof TurboQuantError)) throw error;
    // When each runs alone, the one that fails is known.
    if (group.length > 1) this.#suspect(group);
    else this.#add(this.#failedRow(group[0]!, error.message));
  }

  /** Called when a worker died: its runs are tried again, each alone. A worker that keeps dying stops the sweep. */
  #putOff(evaluator: Evaluator, group: readonly Pending[], { message }: WorkerEnded, signal: AbortSignal): void {
    signal.throwIfAborted();
    const deaths = (this.#deaths.get(evaluator) ?? 0) + 1;
    this.#deaths.set(evaluator, deaths);
    if (deaths >= MAX_DEATHS) this.#stoppedBy ??= message;
    // When memory runs out, the system may kill a process that is not the cause.
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
