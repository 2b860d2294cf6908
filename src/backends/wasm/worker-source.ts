/**
 * @file The text of a worker thread: it instantiates the module over the shared memory and takes tasks for ever.
 *
 * A run is open while OPEN is 1. A worker says that it is in (ACTIVE + 1) before it looks, so the main thread, which closes
 * the run and then waits for ACTIVE = 0, knows that nobody still reads the parameters. A worker that sleeps or is slow to
 * wake holds nobody up: the tasks it does not take are done by others.
 */

/** Words of the control block, each in a cache line of its own where threads contend. */
export const CONTROL = {
  /** Grows with every run; workers sleep on it. */
  generation: 0,
  open: 1,
  numTasks: 2,
  kernel: 3,
  params: 4,
  next: 16,
  active: 32,
  /** Workers asleep: only then is a notify needed. */
  sleeping: 48,
  /** Workers that have started. */
  ready: 64,
  /** 1 after a kernel has trapped in a worker. */
  failed: 65,
  words: 80,
} as const;

/** A worker looks this often before it sleeps (some 50 µs): the runs of a step follow each other closely. */
const SPINS = 20_000;

/** Plain script for Node (eval'd in a worker thread) and for browsers (a Blob). */
export const WORKER_SOURCE = `"use strict";
const start = ({ module, memory, control, scratch, names }) => {
  const c = new Int32Array(memory.buffer, control, ${CONTROL.words});
  const exported = new WebAssembly.Instance(module, { env: { memory } }).exports;
  const kernels = names.map((name) => exported[name]);
  let seen = Atomics.load(c, ${CONTROL.generation});
  Atomics.add(c, ${CONTROL.ready}, 1);
  const work = () => {
    if (Atomics.load(c, ${CONTROL.open}) === 0) return;
    const kernel = kernels[Atomics.load(c, ${CONTROL.kernel})];
    const params = Atomics.load(c, ${CONTROL.params});
    const numTasks = Atomics.load(c, ${CONTROL.numTasks});
    for (let task; (task = Atomics.add(c, ${CONTROL.next}, 1)) < numTasks; ) kernel(task, params, scratch);
  };
  for (;;) {
    for (let i = 0; i < ${SPINS} && Atomics.load(c, ${CONTROL.generation}) === seen; i++);
    if (Atomics.load(c, ${CONTROL.generation}) === seen) {
      Atomics.add(c, ${CONTROL.sleeping}, 1);
      Atomics.wait(c, ${CONTROL.generation}, seen);
      Atomics.sub(c, ${CONTROL.sleeping}, 1);
    }
    seen = Atomics.load(c, ${CONTROL.generation});
    Atomics.add(c, ${CONTROL.active}, 1);
    try {
      work();
    } catch (error) {
      Atomics.store(c, ${CONTROL.failed}, 1);
      throw error;
    } finally {
      if (Atomics.sub(c, ${CONTROL.active}, 1) === 1) Atomics.notify(c, ${CONTROL.active});
    }
  }
};
if (typeof process === "object" && process.versions && process.versions.node) {
  require("node:worker_threads").parentPort.once("message", start);
} else {
  self.onmessage = (event) => start(event.data);
}
`;
