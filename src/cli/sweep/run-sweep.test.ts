/** @file The loop of a sweep with workers that compute nothing: order, failures, ends, resumption. */
import { describe, expect, it } from "vitest";
import { TurboQuantError } from "../../errors.ts";
import type { EvalRow } from "../../eval/evaluate.ts";
import { listCandidates } from "../../lab/candidates.ts";
import { checkSpace } from "../../lab/space-schema.ts";
import { createStrategy } from "../../lab/strategies/create-strategy.ts";
import type { SweepRow } from "../../lab/sweep-row.ts";
import { type RowSink, Sweep, type SweepPlan, type SweepState } from "./run-sweep.ts";
import { type Evaluator, type Task, type TaskResult, WorkerEnded } from "./task.ts";

function planOf(parameters: object, more: object = {}, changes: Partial<SweepPlan> = {}): SweepPlan {
  const space = checkSpace({ name: "x", parameters, ...more }, "f");
  return {
    strategy: createStrategy(space, listCandidates(space, "m").candidates),
    objective: space.objective,
    settings: { base: "f16", needle: 0, textSha256: null },
    refOf: (model) => `at/${model}`,
    costOf: () => 1,
    maxSeconds: Number.POSITIVE_INFINITY,
    retryFailed: false,
    commit: null,
    ...changes,
  };
}

class Rows implements RowSink {
  readonly rows: SweepRow[];
  /** Rows with figures there is room for; the short ones of failed runs always fit, as on a disk that is nearly full. */
  readonly #capacity: number;

  constructor(rows: readonly SweepRow[] = [], capacity = Number.POSITIVE_INFINITY) {
    this.rows = [...rows];
    this.#capacity = capacity;
  }

  add(row: SweepRow): void {
    if (row.status === "done" && this.rows.length >= this.#capacity)
      throw new TurboQuantError("out_of_memory", "no space left");
    this.rows.push(row);
  }
}

/** Figures from the spec alone: what a real evaluation is, too. */
const kldOf = (kv: string): number => [...kv].reduce((sum, c) => (sum * 31 + c.charCodeAt(0)) % 997, 7) / 1e5;
const figures = (task: Task, kv: string): EvalRow =>
  ({
    kv,
    model: task.ref,
    ctx: task.ctx,
    kldMean: kldOf(kv),
    kldP99: 1,
    kldP999: 1,
    pplRatio: 1,
    bitsPerValue: 4,
  }) as EvalRow;

interface Recorder extends Evaluator {
  readonly tasks: Task[];
}

function worker(hook: (task: Task) => void | Promise<void> = () => {}): Recorder {
  const tasks: Task[] = [];
  return {
    tasks,
    async evaluate(task, onShare, signal): Promise<TaskResult> {
      tasks.push(task);
      onShare(0.5);
      await new Promise((resolve) => setTimeout(resolve, 1));
      signal.throwIfAborted();
      await hook(task);
      return { rows: task.kv.map((kv) => figures(task, kv)), numParameters: 7, backend: "none" };
    },
    async dispose() {},
  };
}

const NEVER = new AbortController().signal;
const run = (
  plan: SweepPlan,
  sink: RowSink,
  workers: readonly Evaluator[],
  signal = NEVER,
  states: SweepState[] = [],
) => new Sweep(plan, sink).run(workers, signal, (state) => states.push(state));
const BITS = { bits: { from: 1, to: 8 }, sinks: [0, 4] };
const kvs = (rows: readonly SweepRow[]) => rows.map(({ kv }) => kv).sort();

describe("Sweep", () => {
  it("does every run once, formats of one model and context together, and reports how far it is", async () => {
    const sink = new Rows();
    const workers = [worker(), worker()];
    const states: SweepState[] = [];
    const plan = planOf({ ...BITS, model: ["a", "b"] });
    const outcome = await run(plan, sink, workers, NEVER, states);
    expect(outcome).toMatchObject({ done: 32, total: 32, failed: 0, added: 32, isOutOfTime: false });
    expect(new Set(sink.rows.map(({ id }) => id)).size).toBe(32);
    const tasks = workers.flatMap(({ tasks: own }) => own);
    expect(Math.max(...tasks.map(({ kv }) => kv.length))).toBe(4);
    expect(new Set(tasks.map(({ ref }) => ref))).toEqual(new Set(["at/a", "at/b"]));
    expect(sink.rows[0]).toMatchObject({ status: "done", model: "a", numParameters: 7, part: "all", ctx: 1024 });
    const done = states.map((state) => state.done);
    expect(done).toEqual(done.toSorted((a, b) => a - b));
    expect(states.at(-1)!.best!.kv).toBe(sink.rows.reduce((a, b) => (kldOf(b.kv) < kldOf(a.kv) ? b : a)).kv);
  });

  it.each(["grid", "random", "tpe", { kind: "halving", eta: 2 }])(
    "%j: taken up again after any number of rows it comes to the same rows and does none twice",
    async (strategy) => {
      const plan = () => planOf(BITS, { strategy, chunks: 4, budget: { runs: 14 } });
      const whole = new Rows();
      await run(plan(), whole, [worker()]);
      const idsOf = (rows: readonly SweepRow[]) => rows.map(({ id }) => id).sort();
      for (let kept = 0; kept <= whole.rows.length; kept++) {
        const sink = new Rows(whole.rows.slice(0, kept));
        const outcome = await run(plan(), sink, [worker(), worker(), worker()]);
        expect(outcome.added).toBe(whole.rows.length - kept);
        expect(idsOf(sink.rows)).toEqual(idsOf(whole.rows));
      }
    },
  );

  it("learns nothing from formats whose codes were hardly read", async () => {
    // Those with sinks have the best figures, because attention read little else.
    const hardly = (kv: string): boolean => !kv.includes("sinks=0");
    const own = worker();
    const deceived: Evaluator = {
      ...own,
      async evaluate(...args) {
        const result = await own.evaluate(...args);
        const rows = result.rows.map((row) => (hardly(row.kv) ? { ...row, kldMean: 1e-8, codesRead: 0.01 } : row));
        return { ...result, rows };
      },
    };
    const sink = new Rows();
    const states: SweepState[] = [];
    const strategy = { kind: "halving", eta: 2 };
    await run(planOf(BITS, { strategy, chunks: 8 }), sink, [deceived], NEVER, states);
    const last = sink.rows.filter(({ chunks }) => chunks === 8);
    expect(last.length).toBeGreaterThan(0);
    expect(kvs(last).filter(hardly)).toEqual([]);
    expect(hardly(states.at(-1)!.best!.kv)).toBe(false);
  });

  it("finds out which format of a group fails, keeps the others and the reason", async () => {
    const bad = worker(({ kv }) => {
      if (kv.some((spec) => spec.startsWith("k3v3"))) throw new TurboQuantError("unsupported", "no kernel for it");
    });
    const sink = new Rows();
    const outcome = await run(planOf(BITS), sink, [bad]);
    expect(outcome).toMatchObject({ done: 16, failed: 2 });
    const failed = sink.rows.filter(({ status }) => status === "failed");
    expect(kvs(failed)).toEqual(["k3v3,sinks=0", "k3v3,sinks=4"]);
    expect(failed[0]).toMatchObject({ error: "no kernel for it" });
    // Failed runs are left alone, until they are asked for again.
    expect((await run(planOf(BITS), sink, [worker()])).added).toBe(0);
    expect(await run(planOf(BITS, {}, { retryFailed: true }), sink, [worker()])).toMatchObject({ added: 2, failed: 0 });
  });

  it("tries a run again whose worker ended, once", async () => {
    let deaths = 0;
    const fragile = worker(({ kv }) => {
      if (kv.includes("k5v5,sinks=4") && deaths++ < 2) throw new WorkerEnded("killed by SIGKILL");
    });
    const sink = new Rows();
    // In a group, alone, and then it works.
    expect(await run(planOf(BITS), sink, [fragile])).toMatchObject({ done: 16, failed: 1 });
    expect(sink.rows.find(({ kv }) => kv === "k5v5,sinks=4")).toMatchObject({
      status: "failed",
      error: "killed by SIGKILL",
    });
    deaths = 1;
    const lucky = new Rows();
    expect(await run(planOf(BITS), lucky, [fragile])).toMatchObject({ done: 16, failed: 0 });
  });

  it.each([1, 2])("stops when workers keep ending, and the same sweep goes on later (%d workers)", async (count) => {
    const sink = new Rows();
    let isBroken = false;
    const hook = () => {
      isBroken ||= sink.rows.length >= 4;
      if (isBroken) throw new WorkerEnded("killed by SIGKILL");
    };
    const workers = Array.from({ length: count }, () => worker(hook));
    const outcome = await run(planOf(BITS), sink, workers);
    expect(outcome).toMatchObject({ failed: 0, stoppedBy: "killed by SIGKILL" });
    expect(sink.rows.map(({ status }) => status)).toEqual(Array(outcome.done).fill("done"));
    expect(outcome.done).toBeLessThan(16);
    expect(Math.max(...workers.map(({ tasks }) => tasks.length))).toBeLessThanOrEqual(3 + 4);
    const again = await run(planOf(BITS), sink, [worker()]);
    expect(again).toMatchObject({ done: 16, failed: 0, stoppedBy: null });
  });

  it("two formats that end their worker do not stop the others", async () => {
    const sink = new Rows();
    const fragile = worker(({ kv }) => {
      if (kv.includes("k2v2,sinks=4") || kv.includes("k3v3,sinks=4")) throw new WorkerEnded("killed by SIGKILL");
    });
    const outcome = await run(planOf(BITS), sink, [fragile]);
    expect(outcome).toMatchObject({ done: 16, failed: 2, stoppedBy: null });
    expect(kvs(sink.rows.filter(({ status }) => status === "failed"))).toEqual(["k2v2,sinks=4", "k3v3,sinks=4"]);
  });

  it("a full store ends all workers with its error", async () => {
    const sink = new Rows([], 5);
    await expect(run(planOf(BITS), sink, [worker(), worker()])).rejects.toMatchObject({ code: "out_of_memory" });
    expect(sink.rows.map(({ status }) => status)).toEqual(Array(5).fill("done"));
  });

  it("a fault of ours is not written down as a failed run", async () => {
    const sink = new Rows();
    const broken = worker(() => {
      throw new TypeError("undefined is not a function");
    });
    await expect(run(planOf(BITS), sink, [broken])).rejects.toThrow(TypeError);
    expect(sink.rows).toEqual([]);
  });

  it("Ctrl-C keeps what is done", async () => {
    const abort = new AbortController();
    const sink = new Rows();
    const interrupted = worker(() => {
      if (sink.rows.length >= 4) abort.abort(new Error("Ctrl-C"));
    });
    await expect(run(planOf(BITS), sink, [interrupted, worker()], abort.signal)).rejects.toThrow("Ctrl-C");
    expect(sink.rows.length).toBeGreaterThanOrEqual(4);
    expect(sink.rows.length).toBeLessThan(16);
  });

  it("begins no run after its time, sessions before counted", async () => {
    const earlier = new Rows();
    await run(planOf({ bits: [1] }), earlier, [worker()]);
    const [row] = earlier.rows;
    const sink = new Rows([{ ...row!, sweepSeconds: 100 }]);
    const outcome = await run(planOf(BITS, {}, { maxSeconds: 100 }), sink, [worker()]);
    expect(outcome).toMatchObject({ added: 0, isOutOfTime: true });
    expect(outcome.secondsLeft === null || outcome.secondsLeft === 0).toBe(true);
  });
});
