/** @file Evaluates the tasks of a sweep in this process, and keeps the model loaded between tasks. */
import { LLM } from "../../engine/llm.ts";
import { evaluate } from "../../eval/evaluate.ts";
import { writeSelfText } from "../../eval/self-text.ts";
import { layoutOf, numParameters } from "../../models/layout.ts";
import type { EvalText } from "../eval/text-input.ts";
import type { Evaluator, Task, TaskResult, WorkerSetup } from "./task.ts";

export class LocalEvaluator implements Evaluator {
  readonly #setup: WorkerSetup;
  #loaded: { readonly ref: string; readonly llm: LLM; readonly text: EvalText } | null = null;

  constructor(setup: WorkerSetup) {
    this.#setup = setup;
  }

  async evaluate(task: Task, onShare: (share: number) => void, signal: AbortSignal): Promise<TaskResult> {
    const { base, needle } = this.#setup;
    const { llm, text } = await this.#model(task.ref, signal);
    const rows = await evaluate(llm, {
      text: text.text,
      textSource: text.source,
      kv: task.kv,
      base,
      ctx: task.ctx,
      chunks: task.chunks,
      needle,
      signal,
      onProgress: ({ done, total }) => onShare(total > 0 ? done / total : 0),
    });
    return { rows, numParameters: numParameters(layoutOf(llm.config)), backend: llm.ops.describe() };
  }

  async #model(ref: string, signal: AbortSignal): Promise<{ llm: LLM; text: EvalText }> {
    if (this.#loaded?.ref === ref) return this.#loaded;
    await this.dispose();
    const { base, backend, weights, threads } = this.#setup;
    const llm = await LLM.load(ref, { kv: base, backend, weights, threads, signal });
    try {
      this.#loaded = { ref, llm, text: await this.#text(llm, signal) };
    } catch (error) {
      await llm.dispose();
      throw error;
    }
    return this.#loaded;
  }

  async #text(llm: LLM, signal: AbortSignal): Promise<EvalText> {
    const { text } = this.#setup;
    if (text.kind === "given") return text;
    const { tokens, seed } = text;
    return { text: await writeSelfText(llm, { tokens, seed, signal }), source: `written by the model, seed ${seed}` };
  }

  async dispose(): Promise<void> {
    await this.#loaded?.llm.dispose();
    this.#loaded = null;
  }
}
