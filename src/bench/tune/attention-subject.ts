/** @file Attention of a layer for the tuner, of a token or of a span: filled pages, and the reference backend to check plans by. */
import type { AttentionLayer, Ops } from "../../backends/ops.ts";
import { createReferenceBackend } from "../../backends/reference/backend.ts";
import type { DecodeTuning } from "../../backends/webgpu/attention/decode-attention.ts";
import type { PrefillPlan } from "../../backends/webgpu/attention/prefill-plan.ts";
import type { WebGpuBackend } from "../../backends/webgpu/backend.ts";
import {
  decodeClass,
  decodeKey,
  decodeName,
  decodeNeighbours,
  prefillClass,
  prefillKey,
  prefillName,
  prefillSpace,
} from "../../backends/webgpu/plans/attention-choice.ts";
import type { Plan, Trial } from "../../backends/webgpu/plans/kernel-plans.ts";
import type { ModelConfig } from "../../models/config.ts";
import type { KvSpec } from "../../quant/parse-kv-spec.ts";
import { FILL_ROWS, fillStep, plainAttentionLayer, RandomKv } from "../random-kv.ts";
import { type Clock, callsOfSample } from "./clock.ts";
import type { Subject } from "./search.ts";

/** rows: 1 for a token that is decoded, more for a span · keys: before them */
export interface AttentionQuestion {
  readonly config: ModelConfig;
  /** The number of a layer of this kind. */
  readonly layer: number;
  readonly kv: KvSpec;
  readonly keys: number;
  readonly rows: number;
}

/** Pages that take turns have at least so many bytes together: more than caches hold. */
const TURN_BYTES = 128 << 20;
const MOST_TURNS = 48;
const MOST_CALLS = 64;
/** Keys and rows of the case that the reference computes. */
const SMALL_KEYS = 300;
const SMALL_ROWS = 24;
/** Length of the difference over that of the output: f16 in queries, weights and centroids, and codes at the edge of a cell. */
const LIMIT = 1e-2;

interface Case {
  readonly layers: readonly AttentionLayer[];
  readonly step: ReturnType<typeof fillStep>;
  readonly random: RandomKv;
}

/** Pages of `keys` random tokens and a step of `rows` behind them. */
function fill(ops: Ops, { config, kv, layer }: AttentionQuestion, keys: number, rows: number, turns: number): Case {
  const random = new RandomKv(ops, config, Math.max(FILL_ROWS, rows));
  const shape = plainAttentionLayer(config, kv, layer);
  const layers = Array.from({ length: turns }, (_, index) => ({ ...plainAttentionLayer(config, kv, layer), index }));
  const format = { ...kv, forLayer: () => kv.forLayer(layer) } as KvSpec;
  const sequence = random.createCache(format, turns).createSequence();
  while (sequence.length < keys) random.fill(sequence, layers, Math.min(FILL_ROWS, keys - sequence.length));
  sequence.reserve(rows);
  const step = fillStep(sequence, keys, rows);
  for (const each of layers) random.append(step, each);
  shape.kv.dispose();
  return { layers, step, random };
}

async function attended(ops: Ops, { layers, step, random }: Case): Promise<Float32Array> {
  const [layer] = layers as [AttentionLayer];
  random.append(step, layer);
  const length = step.tokens.length * layer.numHeads * layer.valueDim;
  ops.write(random.attended, new Float32Array(length).fill(Number.NaN));
  ops.attend(step, layer, random.query, random.attended);
  return ops.readback(random.attended, length);
}

/** A small span has room for fewer parts. */
const smallPlan = ({ rows, splits }: PrefillPlan): PrefillPlan => ({ rows, splits: Math.min(splits, 2) });

function differenceOf(values: Float32Array, expected: Float32Array): number {
  let [difference, length] = [0, 0];
  for (const [i, value] of expected.entries()) {
    difference += (values[i]! - value) ** 2;
    length += value ** 2;
  }
  return Math.sqrt(difference / length);
}

/** The key of the answer, known before anything is made for the question. */
export function attentionKey({ config, kv, layer, keys, rows }: AttentionQuestion): string {
  const shape = plainAttentionLayer(config, kv, layer);
  if (rows === 1) {
    const at = decodeClass(shape, keys + 1, 1);
    return decodeKey(shape, at.keys, at.rows);
  }
  const at = prefillClass(shape, keys, rows);
  return prefillKey(shape, at.keys, at.rows);
}

export class AttentionSubject implements Subject {
  readonly key: string;
  readonly rule: Plan;
  readonly #ops: WebGpuBackend;
  readonly #clock: Clock;
  readonly #question: AttentionQuestion;
  readonly #own: Case;
  readonly #small: Case;
  readonly #expected: Float32Array;
  /** Of the rule's plan for the whole case, once it has been right in the small one. */
  #whole: Float32Array | null = null;
  /** Whether the step that was begun last is that of the whole case. */
  #isBegun = false;
  #calls = 0;
  #turn = 0;

  static async create(ops: WebGpuBackend, clock: Clock, question: AttentionQuestion): Promise<AttentionSubject> {
    const { config, kv, layer, keys, rows } = question;
    const reference = createReferenceBackend();
    try {
      const small = { keys: Math.min(keys, SMALL_KEYS), rows: Math.min(rows, SMALL_ROWS) };
      const expected = await attended(reference, fill(reference, question, small.keys, small.rows, 1));
      const { main } = plainAttentionLayer(config, kv, layer).cache;
      const bytes = (main.numBytes * keys) / main.pageTokens;
      const turns = ops.context.isSoftware ? 1 : Math.max(2, Math.min(MOST_TURNS, Math.ceil(TURN_BYTES / bytes)));
      const cases = [fill(ops, question, small.keys, small.rows, 1), fill(ops, question, keys, rows, turns)] as const;
      return new AttentionSubject(ops, clock, question, ...cases, expected);
    } finally {
      await reference.dispose();
    }
  }

  private constructor(
    ops: WebGpuBackend,
    clock: Clock,
    question: AttentionQuestion,
    small: Case,
    own: Case,
    expected: Float32Array,
  ) {
    this.#ops = ops;
    this.#clock = clock;
    this.#question = question;
    this.#small = small;
    this.#own = own;
    this.#expected = expected;
    const { keys, rows } = question;
    this.key = attentionKey(question);
    this.rule = this.#isDecode
      ? {}
      : ops.plans.prefill(null, own.layers[0]!, { start: keys, count: rows }, this.#onMatrices);
  }

  get #isDecode(): boolean {
    return this.#question.rows === 1;
  }

  get #onMatrices(): boolean {
    return this.#ops.attendsOnMatrices(this.#own.layers[0]!);
  }

  neighbours(from: Plan): readonly Plan[] {
    const [layer] = this.#own.layers as [AttentionLayer];
    if (this.#isDecode) return decodeNeighbours(layer, from as DecodeTuning);
    return prefillSpace(layer, this.#question.keys, this.#question.rows, this.#onMatrices);
  }

  nameOf(plan: Plan): string {
    return this.#isDecode ? decodeName(plan as DecodeTuning) : prefillName(plan as PrefillPlan);
  }

  async check(plan: Plan): Promise<{ difference: number; limit: number }> {
    this.#try(this.#isDecode ? plan : smallPlan(plan as PrefillPlan));
    this.#isBegun = false;
    const small = differenceOf(await attended(this.#ops, this.#small), this.#expected);
    if (!(small <= LIMIT)) return { difference: small, limit: LIMIT };
    this.#try(plan);
    this.#begin();
    await this.#ops.commands.warmUp(() => this.#attend());
    const whole = await attended(this.#ops, this.#own);
    this.#whole ??= whole;
    return { difference: Math.max(small, differenceOf(whole, this.#whole)), limit: LIMIT };
  }

  async time(plan: Plan): Promise<number> {
    this.#try(plan);
    const attend = (): void => this.#attend();
    // Attention is that of the step which was begun last, the small one after a check that failed.
    if (!this.#isBegun) {
      this.#begin();
      await this.#clock.time(attend, 1);
    }
    if (this.#calls === 0) {
      this.#calls = await callsOfSample(this.#clock, attend, this.#ops.context.isSoftware ? 1 : MOST_CALLS);
    }
    return this.#clock.time(attend, this.#calls);
  }

  async dispose(): Promise<void> {
    this.#ops.plans.trial = {};
    for (const { step, layers, random } of [this.#small, this.#own]) {
      step.spans[0]!.sequence.release();
      for (const { kv } of layers) kv.dispose();
      random.dispose();
    }
  }

  #try(plan: Plan): void {
    const trial: Trial = this.#isDecode ? { decode: plan as DecodeTuning } : { prefill: plan as PrefillPlan };
    if (JSON.stringify(this.#ops.plans.trial) !== JSON.stringify(trial)) this.#ops.plans.trial = trial;
  }

  #begin(): void {
    const { random, step, layers } = this.#own;
    random.append(step, layers[0]!);
    this.#isBegun = true;
  }

  #attend(): void {
    const { layers, step, random } = this.#own;
    this.#ops.attend(step, layers[this.#turn++ % layers.length]!, random.query, random.attended);
  }
}
