/**
 * @file The script of a worker thread: it instantiates the module over each shared memory and takes tasks forever.
 *
 * A run is open while OPEN is 1. A worker announces itself (ACTIVE + 1) before it reads OPEN. The main thread closes the run
 * and then waits for ACTIVE = 0, so it knows that no worker still reads the parameters. A worker that sleeps or is slow to wake
 * delays nobody: other threads do the tasks that it does not take.
 *
 * A worker that waits for runs receives no messages. When MEMORIES says that there is a memory that it does not have, it goes
 * back to its event loop, where the message with that memory is next.
 */

/** Words of the control block. Words that threads contend for have a cache line of their own. */
export const CONTROL = {
  /** Incremented with every run; workers sleep on it. */
  generation: 0,
  open: 1,
  numTasks: 2,
  kernel: 3,
  params: 4,
  /** The memory that a run is for, in the order in which they were added. */
  memory: 5,
  /** Number of memories that there are. */
  memories: 6,
  next: 16,
  active: 32,
  /** Number of sleeping workers; only if there are any is a notify needed. */
  sleeping: 48,
  /** Incremented by each worker for each memory that it has been given. */
  ready: 64,
  /** 1 after a kernel has trapped in a worker. */
  failed: 65,
  words: 80,
} as const;

/** How often a worker looks for a run before it sleeps (about 50 µs), because the runs of a step follow each other closely. */
const SPINS = 20_000;

/** A plain script, for Node (evaluated in a worker thread) and for browsers (as a Blob). */
export const WORKER_SOURCE = `"use strict";
let words;
const instances = [];
const start = ({ module, memory, control, scratch, names }) => {
  const c = (words ??= new Int32Array(memory.buffer, control, ${CONTROL.words}));
  const exported = new WebAssembly.Instance(module, { env: { memory } }).exports;
  instances.push({ kernels: names.map((name) => exported[name]), scratch });
  let seen = Atomics.load(c, ${CONTROL.generation});
  Atomics.add(c, ${CONTROL.ready}, 1);
  const work = () => {
    if (Atomics.load(c, ${CONTROL.open}) === 0) return;
    const { kernels, scratch } = instances[Atomics.load(c, ${CONTROL.memory})];
    const kernel = kernels[Atomics.load(c, ${CONTROL.kernel})];
    const params = Atomics.load(c, ${CONTROL.params});
    const numTasks = Atomics.load(c, ${CONTROL.numTasks});
    for (let task; (task = Atomics.add(c, ${CONTROL.next}, 1)) < numTasks; ) kernel(task, params, scratch);
  };
  while (Atomics.load(c, ${CONTROL.memories}) === instances.length) {
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
  require("node:worker_threads").parentPort.on("message", start);
} else {
  self.onmessage = (event) => start(event.data);
}
`;
