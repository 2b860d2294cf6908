/** @file Embeddings: one vector of unit length for each text, out of the rows that the model's head would read. */
import { TurboQuantError } from "../errors.ts";
import { formatCount } from "../format-number.ts";
import { refuseUnknownOptions } from "../known-options.ts";
import { abortGroup } from "../linked-abort.ts";
import type { LLM } from "./llm.ts";
import type { ScheduleOptions } from "./scheduler/request.ts";
import { type Pooling, unitVector } from "./scheduler/row-pool.ts";
import { Scheduler } from "./scheduler/scheduler.ts";

export interface EmbedOptions {
  /** `last` (default) takes the row of the last token, as decoders that were trained for it do; `mean` that of all tokens. */
  readonly pooling?: Pooling;
  /** Numbers of a vector; fewer than the model's width are its first ones, made to have unit length again. */
  readonly dimensions?: number;
  readonly signal?: AbortSignal;
}

/**
 * The vectors of texts or token ids, in their order, each as if it were alone.
 * @throws the reason of `signal` when it is aborted · as `Scheduler.generate`
 */
export async function embed(
  llm: LLM,
  input: readonly (string | ArrayLike<number>)[],
  options: EmbedOptions = {},
): Promise<Float32Array[]> {
  refuseUnknownOptions("embed", options, { pooling: true, dimensions: true, signal: true });
  checkDimensions(llm, options.dimensions);
  const prompts = input.map((one) => (typeof one === "string" ? llm.tokenizer.encode(one) : one));
  const scheduler = new Scheduler(llm, { prefixCache: false });
  try {
    return await embedAll(scheduler, prompts, options);
  } finally {
    await scheduler.close();
  }
}

/** @throws TurboQuantError invalid_argument — not a number of dimensions that the model's vectors can have */
export function checkDimensions({ config }: LLM, dimensions: number | undefined): void {
  const { hiddenSize } = config;
  if (dimensions === undefined || (Number.isInteger(dimensions) && dimensions >= 1 && dimensions <= hiddenSize)) return;
  throw new TurboQuantError(
    "invalid_argument",
    `dimensions: expected 1 to ${formatCount(hiddenSize)}, the model's width, got ${dimensions}`,
    { dimensions },
  );
}

export type EmbedRequest = EmbedOptions & Pick<ScheduleOptions, "client" | "owner" | "onFinish">;

/**
 * The vectors of prompts among the other requests of a scheduler. As many are in its queue as it computes together; when it has room for one now,
 * all come in.
 * @throws the reason of `signal` when it is aborted · as `Scheduler.generate`
 */
export async function embedAll(
  scheduler: Scheduler,
  prompts: readonly ArrayLike<number>[],
  { dimensions, pooling = "last", signal, ...whose }: EmbedRequest,
): Promise<Float32Array[]> {
  signal?.throwIfAborted();
  const vectors: Float32Array[] = [];
  const stop = abortGroup(signal);
  let next = 0;
  const embedNext = async (generate: Scheduler["generate"]): Promise<void> => {
    for (let i = next++; i < prompts.length; i = next++) {
      const options = { ...whose, pooling, signal: stop.create() };
      for await (const { embedding, finishReason } of generate(prompts[i]!, options)) {
        if (embedding) vectors[i] = unitVector(embedding, dimensions);
        else if (finishReason === "aborted") {
          signal?.throwIfAborted();
          throw new TurboQuantError("unavailable", "shutting down: the texts were not all read; ask another server");
        }
      }
    }
  };
  try {
    const numTogether = Math.min(scheduler.maxRunning, prompts.length);
    await scheduler.together((generate) => Promise.all(Array.from({ length: numTogether }, () => embedNext(generate))));
  } finally {
    // After an error of one, nobody waits for the others.
    stop.abort();
    stop.release();
  }
  return vectors;
}
