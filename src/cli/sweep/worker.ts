/** @file A worker process of a sweep: tasks come over the channel to its parent, results go back. */
import { TurboQuantError } from "../../errors.ts";
import type { CommandContext } from "../context.ts";
import { LocalEvaluator } from "./local-evaluator.ts";
import type { Task, TaskResult, WorkerSetup } from "./task.ts";

export type ToWorker =
  | { readonly type: "setup"; readonly setup: WorkerSetup }
  | { readonly type: "task"; readonly task: Task };

export type FromWorker =
  | { readonly type: "share"; readonly share: number }
  | { readonly type: "result"; readonly result: TaskResult }
  | { readonly type: "failed"; readonly code: TurboQuantError["code"]; readonly message: string };

/** Between two reports of progress. */
const REPORT_EVERY_MS = 200;

/** Serves its parent until that lets go of it, or is gone. */
export async function serveTasks(context: CommandContext): Promise<void> {
  if (!process.send) {
    throw new TurboQuantError("invalid_argument", "sweep: --worker is for processes that a sweep has started itself");
  }
  // Ctrl-C reaches the whole group; the parent decides what becomes of this process.
  context.setInterrupt(() => {});
  const send = (message: FromWorker): void => {
    process.send?.(message);
  };
  let evaluator: LocalEvaluator | undefined;
  const abort = new AbortController();
  const work = async (task: Task): Promise<void> => {
    let reportedAt = 0;
    try {
      const result = await evaluator!.evaluate(
        task,
        (share) => {
          const now = performance.now();
          if (now - reportedAt < REPORT_EVERY_MS) return;
          reportedAt = now;
          send({ type: "share", share });
        },
        abort.signal,
      );
      send({ type: "result", result });
    } catch (error) {
      const isOurs = error instanceof TurboQuantError;
      const message =
        error instanceof Error ? (isOurs ? error.message : (error.stack ?? error.message)) : String(error);
      send({ type: "failed", code: isOurs ? error.code : "internal", message });
    }
  };
  process.on("message", (message: ToWorker) => {
    if (message.type === "setup") evaluator = new LocalEvaluator(message.setup);
    else void work(message.task);
  });
  await new Promise<void>((resolve) => process.once("disconnect", resolve));
  // A parent that was killed: nobody waits for what is being computed.
  process.exit(0);
}
