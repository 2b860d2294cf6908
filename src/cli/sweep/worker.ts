/** @file A worker process of a sweep: receives tasks over the channel to its parent and sends results back. */
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

/** Time between two reports of progress. */
const REPORT_EVERY_MS = 200;

/** Serves the parent process until it disconnects or dies. */
export async function serveTasks(context: CommandContext): Promise<void> {
  if (!process.send) {
    throw new TurboQuantError("invalid_argument", "sweep: --worker is for processes that a sweep has started itself");
  }
  // Ctrl-C reaches all processes of the group. The parent decides when this one ends.
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
  // The parent was killed, so nobody waits for the present computation.
  process.exit(0);
}
