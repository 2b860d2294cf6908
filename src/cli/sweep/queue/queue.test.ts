/** @file A sweep through a real Redis, with workers that compute nothing: what is lost, killed, refused, done twice, given back. */
import { EventEmitter } from "node:events";
import { isDeepStrictEqual } from "node:util";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { NO_REDIS, startRedis, type TestRedis } from "../../../../test/support/redis.ts";
import { until } from "../../../../test/support/server.ts";
import { BUILD, WEIGHTS } from "../../../../test/support/sweep-job.ts";
import { TurboQuantError } from "../../../errors.ts";
import type { EvalRow } from "../../../eval/evaluate.ts";
import { listCandidates } from "../../../lab/candidates.ts";
import { checkSpace } from "../../../lab/space-schema.ts";
import { createStrategy } from "../../../lab/strategies/create-strategy.ts";
import type { SweepRow } from "../../../lab/sweep-row.ts";
import { Sweep, type SweepState } from "../run-sweep.ts";
import { type Evaluator, type Task, type TaskResult, WorkerEnded, type WorkerSetup } from "../task.ts";
import { JobPreparation } from "./prepare-job.ts";
import { openQueueLibrary, type QueueLibrary, type QueuePlace, queuePlace, shownUrl } from "./queue-place.ts";
import { QueueWorker } from "./queue-worker.ts";
import { TaskQueue } from "./task-queue.ts";

const TEXT = "A text that all workers need.";
const SETUP: WorkerSetup = {
  text: { kind: "given", text: TEXT, source: "text.txt" },
  base: "f16",
  needle: 0,
  backend: "auto",
  weights: "auto",
  threads: 1,
};

const figures = (task: Task, kv: string, kldMean: number): EvalRow =>
  ({
    kv,
    model: task.ref,
    kldMean,
    kldP99: 1,
    kldP999: 1,
    pplRatio: 1,
    kldMeanSe: Number.NaN,
    bitsPerValue: 4,
  }) as EvalRow;

/** An evaluator that does what `hook` says and then has figures. */
const evaluator = (
  hook: (task: Task, signal: AbortSignal) => Promise<void> | void = () => {},
  kldMean = 0.01,
): Evaluator => ({
  async evaluate(task, onShare, signal): Promise<TaskResult> {
    onShare(0.5);
    await hook(task, signal);
    return { rows: task.kv.map((kv) => figures(task, kv, kldMean)), numParameters: 7, backend: "none" };
  },
  async dispose() {},
});

/** What a coordinator is told, but its notes. */
const COORDINATOR = { sweepId: "s1", build: BUILD, identities: new Map([["m", WEIGHTS]]), setup: SETUP };

/** Opened by hand, once. */
function gate() {
  let open = (): void => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  return { open, opened };
}

/** Waits for the gate, or ends as a computation does when it is stopped. */
const hold = (opened: Promise<void>, signal: AbortSignal): Promise<void> =>
  new Promise((resolve, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason));
    void opened.then(resolve);
  });

describe.skipIf(NO_REDIS !== null)(`a sweep's queue${NO_REDIS ? ` (${NO_REDIS})` : ""}`, () => {
  let redis: TestRedis;
  let place: QueuePlace;
  let library: QueueLibrary;
  let numQueues = 0;
  const ends: (() => Promise<unknown>)[] = [];
  beforeAll(async () => {
    redis = await startRedis();
    library = await openQueueLibrary(queuePlace(redis.url));
  });
  // Each test has a queue of its own.
  afterEach(async () => {
    for (const end of ends.splice(0)) await end();
  });
  afterAll(() => redis?.dispose());

  const space = checkSpace({ name: "x", parameters: { bits: { from: 1, to: 8 }, sinks: [0, 4] } }, "f");
  const NUM_RUNS = 16;
  const idsOf = (rows: readonly SweepRow[]) => rows.map(({ id }) => id);

  /** A coordinator, as `sweep --queue` has it. */
  async function coordinator(rows: SweepRow[], sweepId = "s1") {
    const notes: string[] = [];
    const states: SweepState[] = [];
    const abort = new AbortController();
    const note = (message: string) => notes.push(message);
    const queue = await TaskQueue.open(place, library, { ...COORDINATOR, sweepId, note });
    ends.push(() => queue.close(true));
    const plan = {
      strategy: createStrategy(space, listCandidates(space, "m").candidates),
      objective: space.objective,
      settings: { base: "f16", needle: 0, textSha256: null },
      refOf: (model: string) => model,
      costOf: () => 1,
      maxSeconds: Number.POSITIVE_INFINITY,
      retryFailed: false,
      commit: null,
    };
    const sweep = new Sweep(plan, { rows, add: (row) => rows.push(row) });
    const lanes = Array.from({ length: 4 }, () => queue.evaluator());
    const run = () => sweep.run(lanes, abort.signal, (state) => states.push(state));
    return { queue, notes, states, abort, run };
  }

  function worker(own: Evaluator, host: { build?: string; identity?: string } = {}) {
    const notes: string[] = [];
    const preparation = new JobPreparation({
      build: host.build ?? BUILD,
      models: undefined,
      threads: 1,
      identityOf: async () => host.identity ?? WEIGHTS,
    });
    const serving = new QueueWorker(place, library, {
      slots: 1,
      createEvaluator: () => own,
      prepare: (job, server, signal) => preparation.prepare(job, server, signal),
      note: (message) => notes.push(message),
      searchEveryMs: 100,
    });
    ends.push(() => serving.stop());
    return { serving, notes };
  }

  /** A worker that has taken a job and holds it. */
  async function busyWorker(kldMean = 0.01) {
    const taken = gate();
    const finish = gate();
    const tasks: Task[] = [];
    const own = evaluator(async (task, signal) => {
      tasks.push(task);
      taken.open();
      await hold(finish.opened, signal);
    }, kldMean);
    const { serving } = worker(own);
    return { serving, taken: taken.opened, finish: finish.open, tasks };
  }

  async function client<T>(ask: (redis: ReturnType<QueueLibrary["connect"]>) => Promise<T>): Promise<T> {
    const connection = library.connect();
    try {
      return await ask(connection);
    } finally {
      connection.disconnect();
    }
  }

  /** Numbers of jobs in states of the queue. */
  const lengthsOf = (...states: string[]) =>
    client((connection) => Promise.all(states.map((state) => connection.llen(`turboquant:${place.name}:${state}`))));

  /** Takes the locks of all jobs away, as time does with those of a host that has died or slept. */
  const breakLocks = () =>
    client(async (connection) => {
      const locks = await connection.keys(`turboquant:${place.name}:*:lock`);
      expect(locks).toHaveLength(1);
      await connection.del(...locks);
    });

  const expectAll = (rows: readonly SweepRow[]) => {
    expect(rows).toHaveLength(NUM_RUNS);
    expect(new Set(idsOf(rows)).size).toBe(NUM_RUNS);
    expect(new Set(rows.map(({ status }) => status))).toEqual(new Set(["done"]));
  };

  beforeEach(() => {
    place = queuePlace(redis.url, `test-${numQueues++}`);
  });

  it("does every run once, with the figures that the worker had, and leaves nothing on the server", async () => {
    const rows: SweepRow[] = [];
    const { queue, states, run } = await coordinator(rows);
    worker(evaluator());
    expect(await run()).toMatchObject({ done: NUM_RUNS, failed: 0, added: NUM_RUNS });
    expectAll(rows);
    // JSON has no NaN.
    expect(rows[0]).toMatchObject({ status: "done", kldMeanSe: Number.NaN, numParameters: 7 });
    expect(states.at(-1)).toMatchObject({ done: NUM_RUNS, secondsLeft: 0 });
    await queue.close(true);
    const keys = await client((connection) => connection.keys("turboquant:*"));
    expect(keys.filter((key) => /:s1-|:text:/.test(key))).toEqual([]);
  });

  it("a worker that is stopped gives its job to others", async () => {
    const rows: SweepRow[] = [];
    const { run } = await coordinator(rows);
    const stopped = await busyWorker();
    const outcome = run();
    await stopped.taken;
    await stopped.serving.stop();
    expect(stopped.serving.counts).toEqual({ done: 0, givenBack: 1 });
    // It waits as if nobody had touched it, beside those of the other three lanes.
    await until(async () => isDeepStrictEqual(await lengthsOf("wait", "active"), [4, 0]), "four tasks that wait");
    worker(evaluator());
    expect(await outcome).toMatchObject({ done: NUM_RUNS, failed: 0 });
    expectAll(rows);
  });

  it("a run whose worker vanished is done by another, and what comes of it later does not count", async () => {
    const rows: SweepRow[] = [];
    const { run } = await coordinator(rows);
    const vanished = await busyWorker(99);
    const outcome = run();
    await vanished.taken;
    await breakLocks();
    worker(evaluator());
    expect(await outcome).toMatchObject({ done: NUM_RUNS, failed: 0 });
    vanished.finish();
    await until(() => vanished.serving.counts.done > 0, "a late result");
    await vanished.serving.stop();
    expect(vanished.serving.counts).toEqual({ done: 1, givenBack: 0 });
    expectAll(rows);
    expect(rows.map((row) => row.status === "done" && row.kldMean)).toEqual(Array(NUM_RUNS).fill(0.01));
  });

  it("of two workers with one job the one that holds its lock counts", async () => {
    const rows: SweepRow[] = [];
    const { run } = await coordinator(rows);
    const slow = await busyWorker(99);
    const outcome = run();
    await slow.taken;
    const { kv } = slow.tasks[0]!;
    await breakLocks();
    const [taken, finish] = [gate(), gate()];
    worker(
      evaluator(async (task, signal) => {
        if (task.kv[0] !== kv[0]) return;
        taken.open();
        await hold(finish.opened, signal);
      }),
    );
    await taken.opened;
    slow.finish();
    await until(() => slow.serving.counts.done > 0, "a late result");
    await slow.serving.stop();
    finish.open();
    expect(await outcome).toMatchObject({ done: NUM_RUNS, failed: 0 });
    expectAll(rows);
    const twice = rows.filter((row) => kv.includes(row.kv));
    expect(twice.map((row) => row.status === "done" && row.kldMean)).toEqual(kv.map(() => 0.01));
  });

  it("a server that is killed and comes back empty loses nothing", async () => {
    const rows: SweepRow[] = [];
    const { run, notes } = await coordinator(rows);
    const busy = await busyWorker();
    const outcome = run();
    await busy.taken;
    await redis.kill();
    await until(
      () => notes.some((note) => /does not answer \(.*\); the sweep waits for it/.test(note)),
      "a note that it is away",
    );
    busy.finish();
    await redis.restart();
    expect(await outcome).toMatchObject({ done: NUM_RUNS, failed: 0 });
    expectAll(rows);
    expect(notes).toContain("the queue's server answers again");
  });

  it.each(["stopped", "killed"])(
    "a sweep that was %s goes on, with what workers have computed meanwhile",
    async (how) => {
      const rows: SweepRow[] = [];
      const first = await coordinator(rows);
      const busy = await busyWorker();
      const outcome = first.run();
      await busy.taken;
      first.abort.abort(new Error("Ctrl-C"));
      await expect(outcome).rejects.toThrow("Ctrl-C");
      if (how === "stopped") {
        await first.queue.close(false);
        expect(await lengthsOf("wait", "active")).toEqual([0, 1]);
      }
      busy.finish();
      await until(() => busy.serving.counts.done > 0, "a result");
      const computed = busy.tasks.length;
      const second = await coordinator(rows);
      expect(await second.run()).toMatchObject({ done: NUM_RUNS, failed: 0, added: NUM_RUNS });
      expectAll(rows);
      // Each format was computed once: the result that nobody waited for was taken.
      expect(computed).toBeGreaterThan(0);
      expect(busy.tasks.flatMap(({ kv }) => kv)).toHaveLength(NUM_RUNS);
    },
  );

  it.each([
    ["jobs", "-@scripting"],
    ["its version", "-info"],
  ])("disconnects from a server that does not let it read %s", async (_what, rule) => {
    const { Redis } = await import("ioredis");
    const admin = new Redis(redis.url);
    // The client says by itself what it may not read.
    const warn = vi.spyOn(console, "warn").mockImplementation(() => {});
    try {
      await admin.call("ACL", "SETUSER", "limited", "reset", "on", ">secret", "~*", "&*", "+@all", rule);
      const limited = queuePlace(redis.url.replace("//", "//limited:secret@"), place.name);
      const opened = openQueueLibrary(limited).then((own) =>
        TaskQueue.open(limited, own, { ...COORDINATOR, note: () => {} }),
      );
      await expect(opened).rejects.toThrow(/NOPERM/);
      await until(async () => !/ user=limited /.test(String(await admin.call("CLIENT", "LIST"))), "no connection");
    } finally {
      warn.mockRestore();
      admin.disconnect();
    }
  });

  it("refuses a job of another build or of other weights by name, on both sides, and leaves it to others", async () => {
    const rows: SweepRow[] = [];
    const { run, notes } = await coordinator(rows);
    const outcome = run();
    const never = evaluator(() => {
      throw new Error("computed in spite of all");
    });
    const other = worker(never, { build: "1.2.2 (def)" });
    const tuned = worker(never, { identity: "0123456789abcdef".repeat(4) });
    await until(() => other.notes.length > 0 && tuned.notes.length > 0 && notes.length > 1, "two refusals");
    expect(other.notes).toEqual([
      "refuses a task: it is for turboquant 1.2.3 (abc), this is 1.2.2 (def); install the same on all hosts",
    ]);
    expect(tuned.notes).toEqual([
      "refuses a task: model m has other weights (fingerprint 0123456789ab…, the sweep has wwwwwwwwwwww…) here; copy the same files",
    ]);
    worker(evaluator());
    expect(await outcome).toMatchObject({ done: NUM_RUNS, failed: 0 });
    expectAll(rows);
    for (const { notes: own } of [other, tuned]) {
      expect(notes.some((note) => note.endsWith(own[0]!.replace("refuses a task: ", "")))).toBe(true);
    }
  });

  it("a format that fails is a row, a process that ends is tried again, a fault of ours stops the sweep", async () => {
    const rows: SweepRow[] = [];
    const { run, queue } = await coordinator(rows);
    let deaths = 0;
    const { serving } = worker(
      evaluator(({ kv }) => {
        if (kv.includes("k3v3,sinks=4")) throw new TurboQuantError("unsupported", "no kernel for it");
        if (kv.includes("k5v5,sinks=4") && deaths++ < 1) throw new WorkerEnded("killed by SIGKILL");
      }),
    );
    expect(await run()).toMatchObject({ done: NUM_RUNS, failed: 1 });
    expect(rows.filter(({ status }) => status === "failed")).toMatchObject([
      { kv: "k3v3,sinks=4", error: "no kernel for it" },
    ]);
    await serving.stop();
    await queue.close(true);
    const broken = await coordinator([], "s2");
    worker(
      evaluator(() => {
        throw new TypeError("undefined is not a function");
      }),
    );
    await expect(broken.run()).rejects.toThrow(/TypeError: undefined is not a function/);
  });
});

describe("TaskQueue", () => {
  it("queues no look twice while the server does not answer", async () => {
    const commands = new EventEmitter();
    const answer = gate();
    const [getJob, getWorkersCount] = [vi.fn((_id: string) => answer.opened.then(() => ({}))), vi.fn(async () => 1)];
    class FakeQueue extends EventEmitter {
      readonly getJob = getJob;
      readonly getWorkersCount = getWorkersCount;
      getJobs = async () => [];
      waitUntilReady = async () => {};
      close = async () => {};
    }
    const clients = [commands, new EventEmitter()].map((client) =>
      Object.assign(client, { status: "ready", disconnect() {}, expire: async () => 1 }),
    );
    const library = {
      bullmq: { Queue: FakeQueue, QueueEvents: FakeQueue },
      connect: () => clients.shift()!,
    } as unknown as QueueLibrary;
    const queue = await TaskQueue.open(queuePlace("redis://h"), library, { ...COORDINATOR, note: () => {} });
    getWorkersCount.mockClear();
    const { signal } = new AbortController();
    const begin = (kv: string) =>
      void queue.evaluator().evaluate({ ref: "m", ctx: 64, chunks: 1, kv: [kv] }, () => {}, signal);
    begin("k2v2");
    begin("k3v3");
    // A server that is back has all tasks looked at, as the clock has.
    for (let i = 0; i < 9; i++) commands.emit("ready");
    await until(() => getJob.mock.calls.length > 0, "a look");
    for (let i = 0; i < 9; i++) commands.emit("ready");
    begin("k4v4");
    answer.open();
    const looks = () => getJob.mock.calls.map(([id]) => id);
    await until(() => new Set(looks()).size === 3, "looks at three tasks");
    // What the look that had begun saw may be so no longer: that task is looked at once more.
    const [first, second, , last] = looks();
    expect(looks()).toEqual([first, second, first, last]);
    expect(getWorkersCount).toHaveBeenCalledTimes(1);
    await queue.close(false);
  });
});

describe("queuePlace", () => {
  it.each(["host:6379", "http://host", "redis://", "redis:"])("refuses %s", (url) => {
    expect(() => queuePlace(url)).toThrow(/--queue: expected the URL of a Redis or Valkey server/);
  });

  it("refuses names that are no part of a key, and shows no password", () => {
    expect(() => queuePlace("redis://h", "a:b")).toThrow(/--queue-name: expected letters/);
    expect(shownUrl("rediss://user:secret@h:1/2")).toBe("rediss://h:1/2");
  });

  it("says what to install where BullMQ is missing, before it asks for the server", async () => {
    vi.doMock("bullmq", () => {
      throw new Error("Cannot find package 'bullmq'");
    });
    try {
      await expect(openQueueLibrary(queuePlace("redis://127.0.0.1:1/0"))).rejects.toMatchObject({
        code: "unsupported",
        message: expect.stringMatching(/which are not installed; npm install bullmq ioredis$/),
      });
    } finally {
      vi.doUnmock("bullmq");
    }
  });

  it("a server that does not answer is one error", async () => {
    const refused = openQueueLibrary(queuePlace("redis://127.0.0.1:1/0"));
    await expect(refused).rejects.toThrow(
      /--queue redis:\/\/127\.0\.0\.1:1\/0: no Redis .* answers there \(.*ECONNREFUSED/,
    );
  });
});
