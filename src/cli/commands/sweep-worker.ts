/** @file `turboquant sweep-worker`: computes runs of sweeps that other hosts coordinate, through a queue on Redis or Valkey. */
import type { Command } from "commander";
import { TurboQuantError } from "../../errors.ts";
import { getPlatform } from "../../platform.ts";
import { type CommandContext, EXIT_INTERRUPTED } from "../context.ts";
import { addQueueOptions, type QueueFlags, wholeNumber } from "../options.ts";
import { LocalEvaluator } from "../sweep/local-evaluator.ts";
import { buildName } from "../sweep/queue/model-identity.ts";
import { JobPreparation } from "../sweep/queue/prepare-job.ts";
import { openQueueLibrary, queuePlace, shownUrl } from "../sweep/queue/queue-place.ts";
import { QueueWorker } from "../sweep/queue/queue-worker.ts";
import { WorkerProcess } from "../sweep/worker-process.ts";
import { untilStopped } from "../until-stopped.ts";

interface SweepWorkerFlags extends QueueFlags {
  readonly models?: string;
  readonly workers?: number;
  readonly threads?: number;
  readonly quiet?: boolean;
}

export function configure(command: Command, context: CommandContext): void {
  addQueueOptions(command, "the Redis or Valkey server of the sweep, such as redis://host:6379/0")
    .description(
      "Computes runs for `turboquant sweep --queue`, which may be on another host, until Ctrl-C; what is running then goes back to " +
        "the queue. A run is refused whose model differs from the one here, or that is for another version (docs/lab.md).",
    )
    .option("--models <dir>", "where models named in spaces lie, before anywhere else")
    .option("--workers <n>", "processes that evaluate (default: all processors; 0: this one)", wholeNumber(0, 256))
    .option("-t, --threads <n>", "threads of each (default: 1)", wholeNumber(1, 1024))
    .option("--quiet", "no notes on stderr")
    .addHelpText(
      "after",
      `
Examples:
  $ turboquant sweep-worker --queue redis://host:6379/0
  $ turboquant sweep-worker --queue redis://host:6379/0 --models /data/models --workers 2 --threads 8`,
    )
    .action((flags: SweepWorkerFlags) => run(flags, context));
}

async function run(flags: SweepWorkerFlags, context: CommandContext): Promise<void> {
  const { io } = context;
  if (flags.queue === undefined) {
    throw new TurboQuantError("invalid_argument", "sweep-worker: expected --queue, the server that the sweep names");
  }
  const place = queuePlace(flags.queue, flags.queueName);
  const library = await openQueueLibrary(place);
  const note = (message: string): void => {
    if (!flags.quiet) io.stderr.write(`note: ${message}\n`);
  };
  const preparation = new JobPreparation({
    build: await buildName(),
    models: flags.models,
    threads: flags.threads ?? 1,
  });
  const slots = Math.max(1, flags.workers ?? getPlatform().concurrency);
  const { promise: stopped, removeListener } = untilStopped(context);
  const worker = new QueueWorker(place, library, {
    slots,
    createEvaluator: (setup) => (flags.workers === 0 ? new LocalEvaluator(setup) : new WorkerProcess(setup)),
    prepare: (job, server, signal) => preparation.prepare(job, server, signal),
    note,
  });
  try {
    note(`serves the queue ${place.name} on ${shownUrl(place.url)}, ${slots} at once; Ctrl-C ends it`);
    // As of every command, 130 for Ctrl-C.
    if ((await stopped) === "SIGINT") context.setExitCode(EXIT_INTERRUPTED);
  } finally {
    removeListener();
    await worker.stop();
  }
  const { done, givenBack } = worker.counts;
  io.stdout.write(`${done} tasks done${givenBack > 0 ? `, ${givenBack} given back` : ""}\n`);
}
