/** @file `convolve`, `deltaRule`, `scan` and `gate` of the WASM backend: writes parameters and the states of spans, and runs the kernels. */
import { assert } from "../../errors.ts";
import type { Convolution, DeltaRule, Gates, Scan, StatePart, Step } from "../ops.ts";
import { CONVOLVE_FLAGS, convolve, deltaRule, GATES, gate, scan, stateSpan } from "../parameters/states.ts";
import { DELTA_EPS, MAX_DELTA_DIM, MAX_KERNEL, MAX_REACH, MAX_STEP } from "../state-ops.ts";
import { PARAMS_ADDRESS, type WasmMemory } from "./memory.ts";
import { ScratchBuffer } from "./scratch-buffer.ts";
import type { ThreadPool } from "./thread-pool.ts";

/** Number of products whose sum takes about as long as waking another thread. */
const PARALLEL_PRODUCTS = 1 << 16;
/** Channels of a task: cache lines that no other task touches, and few enough that a row of several spans is shared out. */
const CHANNELS = 64;

const WORD = stateSpan.words;

export class StateKernels {
  readonly #memory: WasmMemory;
  readonly #pool: ThreadPool;
  readonly #spans: ScratchBuffer;

  constructor(memory: WasmMemory, pool: ThreadPool) {
    this.#memory = memory;
    this.#pool = pool;
    this.#spans = new ScratchBuffer(memory);
  }

  /** x, out, taps, bias: addresses as in `Ops.convolve`, 0 for no bias */
  convolve(step: Step, of: Convolution, x: number, out: number, taps: number, bias: number): void {
    const { channels, kernel, dilation = 1, activation, input, inputGate, outputGate } = of;
    assert(
      kernel >= 2 && kernel <= MAX_KERNEL && (kernel - 1) * dilation <= MAX_REACH,
      `convolve: a kernel of ${kernel}, ${dilation} apart`,
    );
    const blocks = Math.ceil(channels / CHANNELS);
    convolve.write(this.#memory.view, PARAMS_ADDRESS, {
      spans: this.#writeSpans(step, of.state),
      x: x + input.first * 4,
      inputGate: x + (inputGate ?? 0) * 4,
      outputGate: x + (outputGate ?? 0) * 4,
      stride: input.stride,
      taps,
      bias,
      out,
      channels,
      kernel,
      dilation,
      block: CHANNELS,
      blocks,
      flags:
        (activation === "silu" ? CONVOLVE_FLAGS.silu : 0) +
        (inputGate === null ? 0 : CONVOLVE_FLAGS.inputGate) +
        (outputGate === null ? 0 : CONVOLVE_FLAGS.outputGate),
    });
    const products = step.tokens.length * channels * kernel;
    this.#pool.run("convolve", PARAMS_ADDRESS, step.spans.length * blocks, products > PARALLEL_PRODUCTS);
  }

  /** Addresses as in `Ops.deltaRule`. */
  deltaRule(
    step: Step,
    of: DeltaRule,
    at: {
      readonly qkv: number;
      readonly rates: number;
      readonly decays: number;
      readonly decayLog: number;
      readonly decayBias: number;
      readonly out: number;
    },
  ): void {
    const { numHeads, numKeyHeads, keyDim, valueDim, rate, decay } = of;
    assert(
      [keyDim, valueDim].every((size) => size % 4 === 0 && size <= MAX_DELTA_DIM) && numHeads % numKeyHeads === 0,
      `deltaRule: ${numHeads}/${numKeyHeads} heads of ${keyDim} and ${valueDim}`,
    );
    deltaRule.write(this.#memory.view, PARAMS_ADDRESS, {
      ...at,
      spans: this.#writeSpans(step, of.state),
      stride: 2 * numKeyHeads * keyDim + numHeads * valueDim,
      rates: at.rates + rate.first * 4,
      rateStride: rate.stride,
      decays: at.decays + decay.first * 4,
      decayStride: decay.stride,
      decayBound: of.decayBound ?? 0,
      rateScale: of.rateScale,
      eps: DELTA_EPS,
      numHeads,
      group: numHeads / numKeyHeads,
      tiled: of.isTiled ? 1 : 0,
      keyDim,
      valueDim,
      byChannel: of.isByChannel ? 1 : 0,
    });
    const products = step.tokens.length * numHeads * keyDim * valueDim;
    this.#pool.run("deltaRule", PARAMS_ADDRESS, step.spans.length * numHeads, products > PARALLEL_PRODUCTS);
  }

  /** x, gates: addresses as in `Ops.gate` */
  gate(x: number, gates: number, { first, stride, repeat, activation }: Gates, rows: number, width: number): void {
    const block = Math.max(1, Math.ceil(rows / (this.#pool.threads * 4)));
    gate.write(this.#memory.view, PARAMS_ADDRESS, {
      x,
      gates: gates + first * 4,
      stride,
      repeat,
      width,
      rows,
      block,
      kind: GATES[activation],
    });
    this.#pool.run("gate", PARAMS_ADDRESS, Math.ceil(rows / block), rows * width * 4 > PARALLEL_PRODUCTS);
  }

  /** x, vectors, steps, out, parameters: addresses as in `Ops.scan` */
  scan(
    step: Step,
    of: Scan,
    { x, vectors, steps, out }: { x: number; vectors: number; steps: number; out: number },
    parameters: number,
  ): void {
    const { numHeads, headDim, numGroups, stateSize, minStep, isPerState } = of;
    const products = 2 * step.tokens.length * numHeads * headDim * stateSize;
    // A few tasks a thread, each of whole heads.
    const block = Math.max(1, Math.ceil((numHeads * step.spans.length) / (this.#pool.threads * 4)));
    const blocks = Math.ceil(numHeads / block);
    scan.write(this.#memory.view, PARAMS_ADDRESS, {
      spans: this.#writeSpans(step, of.state),
      x: x + of.x.first * 4,
      xStride: of.x.stride,
      b: vectors + of.vectors.b * 4,
      c: vectors + of.vectors.c * 4,
      vectorStride: of.vectors.stride,
      steps: steps + of.steps.first * 4,
      stepStride: of.steps.stride,
      parameters,
      out,
      numHeads,
      headDim,
      numGroups,
      stateSize,
      block,
      blocks,
      minStep,
      maxStep: Math.min(of.maxStep, MAX_STEP),
      isPerState: isPerState ? 1 : 0,
    });
    this.#pool.run("scan", PARAMS_ADDRESS, step.spans.length * blocks, products > PARALLEL_PRODUCTS);
  }

  /** Writes a `stateSpan` for each span, with the addresses of a part of its states. */
  #writeSpans(step: Step, { index, offset }: StatePart): number {
    const address = this.#spans.ensure(step.spans.length * stateSpan.numBytes);
    const { u32 } = this.#memory;
    let at = address / 4;
    for (const { sequence, start, count, row } of step.spans) {
      const state = sequence.recurrent(index);
      const before = state.at(start);
      const targets = state.targets(start, start + count);
      assert(targets.length <= 2, `${targets.length} states of a span`);
      const [first, second] = targets;
      u32[at + WORD.row] = row;
      u32[at + WORD.count] = count;
      u32[at + WORD.before] = before ? before + offset : 0;
      u32[at + WORD.firstEnd] = first ? first[0] - start : 0;
      u32[at + WORD.first] = first ? first[1] + offset : 0;
      u32[at + WORD.secondEnd] = second ? second[0] - start : 0;
      u32[at + WORD.second] = second ? second[1] + offset : 0;
      u32[at + WORD.start] = start;
      at += stateSpan.numBytes / 4;
    }
    return address;
  }
}
