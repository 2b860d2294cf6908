/** @file Convolutions and scans, whose states are of fixed size, and the gates that come with them. */
import type { Convolution, Gates, Scan, StatePart, Step } from "../../ops.ts";
import { Struct } from "../../parameters/struct.ts";
import { MAX_STEP } from "../../state-ops.ts";
import type { GpuBuffer } from "../queue/buffers.ts";
import { type Commands, MAX_GROUPS } from "../queue/commands.ts";
import type { GpuPageStorage } from "../queue/page-storage.ts";
import { shader } from "../queue/shader-text.ts";
import type { StepBuffer } from "../queue/step-buffer.ts";
import { STATE_VALUES } from "../queue/step-records.ts";

/** Channels of a workgroup of convolve.wgsl, and invocations of one of gate.wgsl. */
const CONVOLVE_THREADS = 64;
const GATE_THREADS = 256;
/** Coordinates of a workgroup of scan.wgsl, and invocations that share one. */
const SCAN_CHANNELS = 16;
const SCAN_SLICES = 16;

const convolveParams = new Struct({
  rowsAt: ["u32", "Words of the rows and of the state's records in `step`."],
  statesAt: "u32",
  channels: "u32",
  first: ["u32", "First columns of the channels and of their gates, in rows of so many values."],
  inputGate: "u32",
  outputGate: "u32",
  stride: "u32",
  pageWords: ["u32", "Words of a page, and the first one of the tail in it."],
  partAt: "u32",
});
const gateParams = new Struct({
  width: "u32",
  length: ["u32", "Of all rows of `x`."],
  first: ["u32", "Column of the first factor, in rows of so many values."],
  stride: "u32",
  repeat: ["u32", "Values that have one factor."],
});

const scanParams = new Struct({
  statesAt: ["u32", "Word of the state's records in `step`."],
  numHeads: "u32",
  headDim: "u32",
  numGroups: "u32",
  xAt: ["u32", "First columns of x, of B and C, and of the steps, in rows of so many values."],
  xStride: "u32",
  bAt: "u32",
  cAt: "u32",
  vectorStride: "u32",
  stepsAt: "u32",
  stepStride: "u32",
  pageWords: ["u32", "Words of a page, and the first one of the scan's part in it."],
  partAt: "u32",
  minStep: "f32",
  maxStep: "f32",
});

export class StateKernels {
  readonly #commands: Commands;
  readonly #storage: GpuPageStorage;
  readonly #steps: StepBuffer;

  constructor(commands: Commands, storage: GpuPageStorage, steps: StepBuffer) {
    this.#commands = commands;
    this.#storage = storage;
    this.#steps = steps;
  }

  /** See `Ops.convolve`. */
  convolve(
    step: Step,
    of: Convolution,
    { taps, bias }: { readonly taps: GpuBuffer; readonly bias: GpuBuffer | null },
    x: GpuBuffer,
    out: GpuBuffer,
  ): void {
    const { state, channels, kernel, dilation = 1, activation, input, inputGate, outputGate } = of;
    const { pages, pageWords } = this.#pagesOf(step, state);
    const values = {
      ...STATE_VALUES,
      THREADS: CONVOLVE_THREADS,
      KERNEL: kernel,
      DILATION: dilation,
      REACH: (kernel - 1) * dilation,
      BIASED: bias !== null,
      SILU: activation === "silu",
      INPUT_GATE: inputGate !== null,
      OUTPUT_GATE: outputGate !== null,
    };
    const gates = [inputGate === null ? "" : ", gated input", outputGate === null ? "" : ", gated output"].join("");
    const label = `convolve ${kernel}${dilation > 1 ? `, ${dilation} apart` : ""}${bias ? ", bias" : ""}${values.SILU ? ", silu" : ""}${gates}`;
    const made = this.#commands.kernel(label, () => ({
      label,
      shader: shader("convolve", convolveParams, values),
      buffers: ["read", "read", "read", "write", "write", ...(bias ? (["read"] as const) : [])],
    }));
    this.#commands.dispatch(
      made,
      {
        rowsAt: this.#steps.layout.rowsAt,
        statesAt: this.#steps.stateAt(state.index),
        channels,
        first: input.first,
        inputGate: inputGate ?? 0,
        outputGate: outputGate ?? 0,
        stride: input.stride,
        pageWords,
        partAt: state.offset / 4,
      },
      [this.#steps.buffer, x, taps, pages, out, ...(bias ? [bias] : [])],
      Math.ceil(channels / CONVOLVE_THREADS),
      step.tokens.length,
    );
  }

  /** See `Ops.scan`. */
  scan(
    step: Step,
    of: Scan,
    buffers: Readonly<Record<"x" | "vectors" | "steps" | "parameters" | "out", GpuBuffer>>,
  ): void {
    const { state, numHeads, headDim, numGroups, stateSize, isPerState, x, vectors, steps } = of;
    const { pages, pageWords } = this.#pagesOf(step, state);
    const label = `scan ${stateSize}${isPerState ? ", rates of states" : ""}`;
    const values = {
      ...STATE_VALUES,
      CHANNELS: SCAN_CHANNELS,
      SLICES: SCAN_SLICES,
      STATE_SIZE: stateSize,
      PER_STATE: isPerState,
    };
    const kernel = this.#commands.kernel(label, () => ({
      label,
      shader: shader("scan", scanParams, values),
      buffers: ["read", "read", "read", "read", "read", "write", "write"],
    }));
    this.#commands.dispatch(
      kernel,
      {
        statesAt: this.#steps.stateAt(state.index),
        numHeads,
        headDim,
        numGroups,
        xAt: x.first,
        xStride: x.stride,
        bAt: vectors.b,
        cAt: vectors.c,
        vectorStride: vectors.stride,
        stepsAt: steps.first,
        stepStride: steps.stride,
        pageWords,
        partAt: state.offset / 4,
        minStep: of.minStep,
        maxStep: Math.min(of.maxStep, MAX_STEP),
      },
      [this.#steps.buffer, buffers.x, buffers.vectors, buffers.steps, buffers.parameters, pages, buffers.out],
      Math.ceil((numHeads * headDim) / SCAN_CHANNELS),
      step.spans.length,
    );
  }

  /** See `Ops.gate`. */
  gate(x: GpuBuffer, gates: GpuBuffer, of: Gates, rows: number, width: number): void {
    const { first, stride, repeat, activation } = of;
    const length = rows * width;
    const label = `gate ${activation}`;
    const made = this.#commands.kernel(label, () => ({
      label,
      shader: shader("gate", gateParams, {
        THREADS: GATE_THREADS,
        SILU: activation === "silu",
        PLAIN: activation === "none",
      }),
      buffers: ["write", "read"],
    }));
    const groups = Math.min(MAX_GROUPS, Math.ceil(length / GATE_THREADS));
    this.#commands.dispatch(made, { width, length, first, stride, repeat }, [x, gates], groups);
  }

  /** The buffer of all pages of a state, and the words of one. */
  #pagesOf(step: Step, { index }: StatePart): { readonly pages: GpuBuffer; readonly pageWords: number } {
    const { group, pageBytes } = step.spans[0]!.sequence.recurrent(index);
    return { pages: this.#storage.bufferOf(group, pageBytes), pageWords: pageBytes / 4 };
  }
}
