/** @file Evaluates tasks of a sweep in a child process, which is started when it is first needed and again after it has died. */
import { type ChildProcess, fork } from "node:child_process";
import { extname } from "node:path";
import { fileURLToPath } from "node:url";
import { TurboQuantError } from "../../errors.ts";
import { type Evaluator, type Task, type TaskResult, WorkerEnded, type WorkerSetup } from "./task.ts";
import type { FromWorker, ToWorker } from "./worker.ts";

/** The script of the command: the built file, or the source when run through a loader. */
const MAIN = fileURLToPath(new URL(`../main${extname(import.meta.url)}`, import.meta.url));

export class WorkerProcess implements Evaluator {
  readonly #setup: WorkerSetup;
  #child: ChildProcess | null = null;

  constructor(setup: WorkerSetup) {
    this.#setup = setup;
  }

  async evaluate(task: Task, onShare: (share: number) => void, signal: AbortSignal): Promise<TaskResult> {
    signal.throwIfAborted();
    const child = this.#child ?? this.#start();
    return await new Promise<TaskResult>((resolve, reject) => {
      const settle = (how: () => void): void => {
        child.off("message", onMessage).off("exit", onExit).off("error", onError);
        signal.removeEventListener("abort", onAbort);
        how();
      };
      const onMessage = (message: FromWorker): void => {
        if (message.type === "share") onShare(message.share);
        else if (message.type === "result") settle(() => resolve(message.result));
        else settle(() => reject(new TurboQuantError(message.code, message.message)));
      };
      const onExit = (code: number | null, by: NodeJS.Signals | null): void => {
        this.#child = null;
        settle(() => reject(new WorkerEnded(`the worker process ended by ${by ?? `exit code ${code}`}`)));
      };
      const onError = (error: Error): void => {
        this.#child = null;
        settle(() => reject(new WorkerEnded(`the worker process could not be used: ${error.message}`)));
      };
      const onAbort = (): void => {
        this.#kill();
        settle(() => reject(signal.reason));
      };
      child.on("message", onMessage).on("exit", onExit).on("error", onError);
      signal.addEventListener("abort", onAbort);
      child.send({ type: "task", task } satisfies ToWorker, (error) => {
        if (error) onError(error);
      });
    });
  }

  #start(): ChildProcess {
    const child = fork(MAIN, ["sweep", "--worker"], {
      stdio: ["ignore", "ignore", "inherit", "ipc"],
      // Plain JSON would turn NaN into null.
      serialization: "advanced",
    });
    // The listener is added for each task. If the process dies between tasks, the next task finds out.
    child.on("exit", () => {
      if (this.#child === child) this.#child = null;
    });
    child.on("error", () => {});
    child.send({ type: "setup", setup: this.#setup } satisfies ToWorker, () => {});
    this.#child = child;
    return child;
  }

  #kill(): void {
    this.#child?.kill("SIGKILL");
    this.#child = null;
  }

  async dispose(): Promise<void> {
    this.#kill();
  }
}
