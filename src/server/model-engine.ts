/** @file A model in memory and all that works for it: the scheduler, the threads for texts, and a calibration that is made when there is time. */
import { wantsCalibration } from "../engine/calibration/calibration-wish.ts";
import { calibrateWhenIdle, untilIdle } from "../engine/calibration/idle-calibration.ts";
import type { LLM } from "../engine/llm.ts";
import { Scheduler } from "../engine/scheduler/scheduler.ts";
import type { SchedulerOptions } from "../engine/scheduler/scheduler-options.ts";
import type { LoadedModel } from "./models.ts";
import type { Logger } from "./server-context.ts";
import type { TextWork } from "./text-work.ts";

export interface EngineOptions {
  readonly scheduler: SchedulerOptions;
  /** Ends with the model. */
  readonly text: TextWork & AsyncDisposable;
  readonly logger: Pick<Logger, "info" | "error">;
}

export class ModelEngine implements LoadedModel {
  readonly text: TextWork & AsyncDisposable;
  readonly #options: EngineOptions;
  /** As it was loaded; it owns the weights. */
  readonly #own: LLM;
  readonly #ending = new AbortController();
  #llm: LLM;
  #scheduler: Scheduler;
  #calibrating: Promise<void> = Promise.resolve();

  /** llm: disposed of with this */
  constructor(llm: LLM, options: EngineOptions) {
    this.text = options.text;
    this.#options = options;
    this.#own = llm;
    this.#llm = llm;
    this.#scheduler = new Scheduler(llm, options.scheduler);
  }

  get llm(): LLM {
    return this.#llm;
  }

  get scheduler(): Scheduler {
    return this.#scheduler;
  }

  /** Whether no request is being computed or waits to be. */
  get isIdle(): boolean {
    const { running, waiting, preempted } = this.#scheduler.stats;
    return running + waiting + preempted === 0;
  }

  /**
   * Makes a calibration of a model that has none while nothing is at work, and goes on with it. Conversations are read again then, as their
   * caches are in other codes.
   *
   * calibration: see `LoadOptions` · isIdle: whether nothing is at work, this model or others
   */
  calibrateWhenIdle(calibration: string | undefined, isIdle: () => boolean): void {
    if (!calibration || !wantsCalibration(this.#own.decoder.kv, calibration)) return;
    this.#calibrating = this.#calibrated(isIdle).then((next) => {
      if (!next) return;
      const before = this.#scheduler;
      this.#llm = next;
      this.#scheduler = new Scheduler(next, this.#options.scheduler);
      void before.close();
    });
  }

  /** The model with a calibrated cache, at a moment when nothing is at work; null where that is not to be. */
  async #calibrated(isIdle: () => boolean): Promise<LLM | null> {
    const { logger } = this.#options;
    const { signal } = this.#ending;
    const llm = this.#own;
    try {
      const outcome = await calibrateWhenIdle(llm, { isIdle, signal });
      if (outcome) logger.info({ note: outcome.note }, outcome.isMade ? "calibrated" : "not calibrated");
      if (!outcome?.isMade) return null;
      const view = await llm.withKv(llm.decoder.kv.text);
      return (await untilIdle({ isIdle, signal, idleMs: 0 })) ? view : null;
    } catch (error) {
      logger.error({ err: error }, "not calibrated");
      return null;
    }
  }

  async drain(): Promise<void> {
    this.#ending.abort();
    await this.#scheduler.drain();
  }

  async close(): Promise<void> {
    this.#ending.abort();
    await this.#calibrating;
    await this.#scheduler.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
    await this.text[Symbol.asyncDispose]();
    await this.#own.dispose();
  }
}
