/** @file Tunes kernels on a device: one question after the other within a time, each answer kept as soon as it is known. */
import { WebGpuBackend } from "../../backends/webgpu/backend.ts";
import type { GpuContext } from "../../backends/webgpu/device/context.ts";
import { openDevice } from "../../backends/webgpu/device/open-device.ts";
import type { Winner } from "../../backends/webgpu/plans/kernel-plans.ts";
import { type ProductQuestion, productKey } from "../../backends/webgpu/plans/product-choice.ts";
import { TurboQuantError } from "../../errors.ts";
import { type AttentionQuestion, AttentionSubject, attentionKey } from "./attention-subject.ts";
import { type Clock, deviceClock } from "./clock.ts";
import { ProductSubject } from "./product-subject.ts";
import { type Subject, search, type TuneRow } from "./search.ts";

export type TuneQuestion =
  | { readonly kind: "product"; readonly product: ProductQuestion }
  | { readonly kind: "attention"; readonly attention: AttentionQuestion };

export interface TuneOptions {
  /** Opens the device, again when one has failed; default: this machine's. */
  readonly open?: () => Promise<GpuContext>;
  readonly questions: readonly TuneQuestion[];
  readonly ms: number;
  readonly signal?: AbortSignal;
  /** Keys of shapes that need no search, because their answer is known. */
  readonly known?: ReadonlySet<string>;
  /** Called with an answer as soon as there is one: a winner, or null where the rule's plan stays. */
  readonly onAnswer?: (key: string, winner: Winner | null) => Promise<void>;
  readonly onProgress?: (what: string, done: number, total: number) => void;
  /** What `ms` is measured by, in milliseconds. */
  readonly now?: () => number;
}

export interface TuneSummary {
  /** Shapes whose search came to its end, was cut short by the time, and was not begun. */
  readonly done: number;
  readonly cut: number;
  readonly left: number;
}

/** A round lasts so long on hardware, where drivers optimize a kernel for two to three seconds while it runs. */
const ROUND_MS = 3000;
/** Share of a question's time that one round may take. */
const ROUND_SHARE = 0.45;

interface Device {
  readonly ops: WebGpuBackend;
  readonly clock: Clock;
}

async function openTuned(open: () => Promise<GpuContext>): Promise<Device> {
  const ops = new WebGpuBackend(await open());
  return { ops, clock: deviceClock(ops.context, ops.commands) };
}

function subjectOf({ ops, clock }: Device, question: TuneQuestion): Promise<Subject> {
  const { context, allocator, commands } = ops;
  if (question.kind === "product") {
    return ProductSubject.create({ context, allocator, commands, clock }, question.product);
  }
  return AttentionSubject.create(ops, clock, question.attention);
}

const questionText = (question: TuneQuestion): string => {
  if (question.kind === "product") return productKey(question.product);
  const { keys, rows, kv } = question.attention;
  return `attention of ${rows === 1 ? "a token" : `${rows} tokens`} behind ${keys}, ${kv.text}`;
};

/**
 * Yields a row for each plan that was tried. A plan that the device does not survive is dropped and named, and the device opened again.
 * @throws TurboQuantError device_lost — the device was lost; what was answered before has been handed to `onAnswer`
 */
export async function* tune(options: TuneOptions): AsyncGenerator<TuneRow, TuneSummary> {
  const { questions, ms, signal, known = new Set(), onAnswer, onProgress, open = openDevice } = options;
  const { now = () => performance.now() } = options;
  const started = now();
  const summary = { done: 0, cut: 0, left: 0 };
  let device = await openTuned(open);
  try {
    for (const [i, question] of questions.entries()) {
      const remaining = ms - (now() - started);
      if (signal?.aborted || (remaining <= 0 && i > 0)) {
        summary.left = questions.length - i;
        break;
      }
      const key = question.kind === "product" ? productKey(question.product) : attentionKey(question.attention);
      if (known.has(key)) {
        summary.done++;
        continue;
      }
      onProgress?.(questionText(question), i, questions.length);
      const share = remaining / (questions.length - i);
      const shareUntil = now() + share;
      const excluded = new Set<string>();
      for (let isOpen = true; isOpen; ) {
        const subject = await subjectOf(device, question);
        // Where the data alone has taken the time, something is to be known all the same.
        const until = Math.max(shareUntil, now() + share / 3);
        const roundMs = device.ops.context.isSoftware ? 0 : Math.min(ROUND_MS, share * ROUND_SHARE);
        const { winner, ruleUs, isWhole, failure } = yield* search(subject, { until, roundMs, signal, excluded, now });
        isOpen = failure !== null && now() < shareUntil;
        if (failure === null) {
          if (ruleUs !== null && !signal?.aborted && (isWhole || winner)) await onAnswer?.(subject.key, winner);
          await subject.dispose();
        } else {
          // An error of a device stays with it, so what is left to try needs another one.
          if (device.ops.context.isLost || !isOfDevice(failure)) throw failure;
          await device.ops.dispose();
          device = await openTuned(open);
        }
        if (!isOpen) summary[isWhole ? "done" : "cut"]++;
      }
    }
  } finally {
    await device.ops.dispose();
  }
  return summary;
}

const isOfDevice = (error: unknown): boolean =>
  error instanceof TurboQuantError && ["internal", "out_of_memory", "unsupported"].includes(error.code);
