/** @file `appendKv` of the WebGPU backend: constants of a layer, angles of a step, and the kernel that prepares and stores rows. */
import { mainGroup, residualGroup } from "../../../cache/states/kv-state.ts";
import { assert } from "../../../errors.ts";
import { codecOf, nameOf, type SideFormat } from "../../../quant/codecs/registry.ts";
import { isRotated, type PageLayout } from "../../../quant/page-layout.ts";
import { dimOf } from "../../../quant/page-regions.ts";
import type { LayerCopies } from "../../../quant/prepared-layer.ts";
import { MAX_FLOAT16 } from "../../../quant/sanitize.ts";
import { SEARCH_FACTORS } from "../../../quant/vector-quantizer.ts";
import { windowSide } from "../../../quant/window-side.ts";
import type { AttentionLayer, Rope, Step } from "../../ops.ts";
import { Struct } from "../../parameters/struct.ts";
import { ropeOfRow } from "../../rope-of-row.ts";
import { candidateWords, feedbackLanes } from "../codec/feedback-text.ts";
import { hadamardText, shuffleBits } from "../codec/hadamard-text.ts";
import { mostCodeWords, wgslCodecs } from "../codec/registry.ts";
import { wgslSupport } from "../codec/support.ts";
import type { BufferAllocator, GpuBuffer } from "../queue/buffers.ts";
import type { Commands } from "../queue/commands.ts";
import type { Kernel } from "../queue/kernel.ts";
import { type GpuPageStorage, SLOT_MASK } from "../queue/page-storage.ts";
import { f32Word, floatText, shader } from "../queue/shader-text.ts";
import type { StepBuffer } from "../queue/step-buffer.ts";
import { SPAN_WORDS, STEP_VALUES } from "../queue/step-records.ts";
import { type AppendConstants, makeAppendConstants } from "./append-constants.ts";

/** Invocations of a workgroup. */
const THREADS = 128;
/** Heads up to this length keep the signs of their rotation in workgroup memory. */
const SIGNS_HEAD_DIM = 256;

const params = new Struct({
  rowsAt: ["u32", "Words of the rows and of the layer's span records in `step`."],
  spansAt: "u32",
  eps: "f32",
  softmaxScale: "f32",
  zero: ["u32", "Always 0, which a compiler cannot know; see exact.wgsl."],
  growth: ["f32", "Queries at position p grow by 1 + growth * ln(1 + (p + offset) / length), where they do."],
  growthLength: "u32",
  growthOffset: "u32",
  rows: ["u32", "Rows of the step. Workgroups beyond them see to a row that the window passes."],
});

/** Device buffers of the norms of heads. */
interface HeadNorms {
  readonly q: GpuBuffer | null;
  readonly k: GpuBuffer | null;
  readonly v: GpuBuffer | null;
}

const NO_NORMS: HeadNorms = { q: null, k: null, v: null };

/** Sides whose vectors are equally long share a kernel; that of keys also prepares queries. Rows of latent attention are keys. */
type Sides = readonly ("k" | "v")[];

interface SidesAppend {
  readonly kernel: Kernel<typeof params>;
  readonly constants: GpuBuffer;
  /** Heads of a row that the kernel takes, each a workgroup. */
  readonly heads: number;
}

/** What is made once for a layer. */
interface LayerAppend extends LayerCopies {
  readonly parts: readonly SidesAppend[];
}

export class AppendKernels {
  readonly #commands: Commands;
  readonly #allocator: BufferAllocator;
  readonly #storage: GpuPageStorage;
  readonly #steps: StepBuffer;
  /** A buffer for each rope, kept from step to step. */
  readonly #angles: GpuBuffer[] = [];
  #ropes: readonly Rope[] = [];

  constructor(commands: Commands, allocator: BufferAllocator, storage: GpuPageStorage, steps: StepBuffer) {
    this.#commands = commands;
    this.#allocator = allocator;
    this.#storage = storage;
    this.#steps = steps;
  }

  /** Uploads cos and sin of every row's angles, f32 computed in f64, for each rope. */
  beginStep(step: Step, ropes: readonly Rope[]): void {
    this.#ropes = ropes;
    ropes.forEach((rope, index) => {
      const values = new Float32Array(step.positions.length * rope.invFreq.length * 2);
      let at = 0;
      for (const [row, position] of step.positions.entries()) {
        const { invFreq, attentionFactor } = ropeOfRow(rope, row);
        for (const frequency of invFreq) {
          const angle = position * frequency;
          const factor = frequency === 0 ? 1 : attentionFactor;
          values[at++] = Math.cos(angle) * factor;
          values[at++] = Math.sin(angle) * factor;
        }
      }
      this.#commands.write(this.#roomForAngles(index, values.byteLength), 0, values);
    });
  }

  /** See `Ops.appendLatent`. */
  runLatent(step: Step, layer: AttentionLayer, latent: GpuBuffer, q: GpuBuffer): void {
    this.run(step, layer, NO_NORMS, latent, q);
  }

  /**
   * See `Ops.appendKv`.
   * @throws TurboQuantError unsupported — a codec that has no kernel here
   */
  run(step: Step, layer: AttentionLayer, norms: HeadNorms, qkv: GpuBuffer, q: GpuBuffer): void {
    const { index } = layer;
    const { main, residual } = layer.cache;
    const at = this.#steps.layout;
    const [rope, angles] = [this.#ropes[layer.rope], this.#angles[layer.rope]];
    assert(rope && angles, `appendKv: layer ${index} asks for rope ${layer.rope} of ${this.#ropes.length}`);
    const growth = rope.queryGrowth;
    const { parts } = layer.kv.copies(this, () => this.#prepare(layer, norms, growth !== undefined));
    const rows = step.tokens.length;
    const values = {
      rowsAt: at.rowsAt,
      spansAt: at.spansAt + index * at.numSpans * SPAN_WORDS,
      eps: layer.normEps,
      softmaxScale: layer.scale,
      zero: 0,
      growth: growth?.beta ?? 0,
      growthLength: growth?.length ?? 1,
      growthOffset: growth?.offset ?? 0,
      rows,
    };
    // A row of the step takes at most one token out of the window that was there before; of one sequence only the first rows do.
    const isAlone = !layer.isShared && (residual?.isAlone ?? false);
    const passed = step.spans.length > 1 ? rows : Math.min(rows, layer.kv.format.window);
    const pages = this.#storage.bufferOf(mainGroup(index), main.numBytes);
    const residualPages = this.#storage.bufferOf(residualGroup(index), residual?.layout.numBytes ?? 0);
    // Rows come before heads: workgroups that run at the same time read the constants of the same few heads.
    for (const { kernel, constants, heads } of parts) {
      const buffers = [this.#steps.buffer, angles, qkv, constants, pages, residualPages, q];
      this.#commands.dispatch(kernel, values, buffers, rows + (isAlone ? passed : 0), heads);
    }
  }

  #prepare(layer: AttentionLayer, norms: HeadNorms, grows: boolean): LayerAppend {
    wgslSupport.check(layer.kv.format);
    const { headDim, valueDim, rotaryKeyDim, isShared = false } = layer;
    const both = headDim === valueDim && !isShared && rotaryKeyDim === 0;
    const apart = isShared || rotaryKeyDim > 0 ? [["k"] as const] : [["k"] as const, ["v"] as const];
    const parts = (both ? [["k", "v"] as const] : apart).map((sides) => this.#prepareSides(layer, sides, norms, grows));
    return {
      parts,
      dispose: () => {
        for (const { constants } of parts) this.#allocator.free(constants);
      },
    };
  }

  #prepareSides(layer: AttentionLayer, sides: Sides, norms: HeadNorms, grows: boolean): SidesAppend {
    const made = makeAppendConstants(layer.kv, sides);
    const constants = this.#allocator.allocate(made.values.byteLength, `constants of layer ${layer.index}`);
    this.#commands.write(constants, 0, made.values);
    const copyNorm = (norm: GpuBuffer | null, at: number, length: number): void => {
      if (norm) this.#commands.copy(norm, 0, constants, at * 4, length * 4);
    };
    if (sides.includes("k")) {
      copyNorm(norms.q, made.at.QUERY_NORM_AT, layer.headDim);
      copyNorm(norms.k, made.at.KEY_NORM_AT, layer.headDim);
    }
    if (sides.includes("v")) copyNorm(norms.v, made.at.VALUE_NORM_AT, layer.valueDim);
    const stored = layer.isShared ? 0 : sides.length * layer.numKvHeads;
    const heads = stored + (sides.includes("k") ? layer.numHeads : 0);
    return { kernel: this.#kernel(layer, sides, made, grows), constants, heads };
  }

  #kernel(layer: AttentionLayer, sides: Sides, { at }: AppendConstants, grows: boolean): Kernel<typeof params> {
    const { numHeads, numKvHeads, valueDim } = layer;
    const headDim = dimOf(layer, sides[0]!);
    const [hasKeys, hasValues] = (["k", "v"] as const).map((side) => sides.includes(side)) as [boolean, boolean];
    const firstValue = (numHeads + numKvHeads) * layer.headDim;
    const { format, transforms, calibration } = layer.kv;
    const { main, residual } = layer.cache;
    const { rotaryKey } = main;
    const { k, v } = transforms;
    const normsQk = hasKeys && layer.qNorm !== null;
    const normsV = hasValues && (layer.vNorm ?? null) !== null;
    const kRotated = hasKeys && isRotated(format.k, format);
    const vRotated = hasValues && isRotated(format.v, format);
    const rotated = kRotated || vRotated;
    const codecs = sides.map((side) => wgslCodecs.of(format[side]));
    const [kDense, vDense] = [hasKeys && k.forward !== null, hasValues && v.forward !== null];
    const isAlone = !layer.isShared && (residual?.isAlone ?? false);
    const { subgroupSize } = this.#commands.context.features;
    const bits = rotated ? shuffleBits(at.ROTATION_SIZE, THREADS, subgroupSize) : 0;
    const hasFeedback = sides.some((side) => transforms[side].feedback !== null);
    const subgroup = hasFeedback ? feedbackLanes(subgroupSize, THREADS, headDim) : 0;
    const hasCodes = codecs.some(({ book }) => book);
    const isChained = codecs.some(({ isChained }) => isChained);
    const keepsSigns = at.ROTATION_ROUNDS > 0 && headDim <= SIGNS_HEAD_DIM;
    const hasWindowCodes = format.windowBits === 8 && residual !== null && !layer.isShared;
    const candidates = candidateWords(headDim, hasFeedback, isChained);
    const codeWords = mostCodeWords([
      ...sides.map((side) => format[side]),
      ...(hasWindowCodes ? [windowSide(format)] : []),
    ]);
    const values = {
      HEAD_DIM: headDim,
      NUM_HEADS: numHeads,
      NUM_KV_HEADS: numKvHeads,
      ROW_VALUES: layer.isShared ? numHeads * layer.headDim : firstValue + numKvHeads * valueDim,
      FIRST_VALUE: hasKeys ? 0 : firstValue,
      FIRST_HEAD: hasKeys ? 0 : numHeads + numKvHeads,
      HAS_KEYS: hasKeys,
      HAS_VALUES: hasValues,
      GROUP: numHeads / numKvHeads,
      PAGE_TOKENS: main.pageTokens,
      PAGE_BYTES: main.numBytes,
      RESIDUAL_TOKENS: residual?.layout.pageTokens ?? 1,
      RESIDUAL_BYTES: residual?.layout.numBytes ?? 0,
      RESIDUAL_K_AT: residual?.layout.k.planes[0]?.offset ?? 0,
      RESIDUAL_V_AT: residual?.layout.v.planes[0]?.offset ?? 0,
      SLOT_MASK,
      ...STEP_VALUES,
      THREADS,
      IS_LONG: headDim > 2 * THREADS,
      NUM_FACTORS: SEARCH_FACTORS.length,
      EXCHANGES: bits > 0 || subgroup > 0,
      ROTATED: rotated,
      QR: format.rotation === "qr",
      K_ROTATED: kRotated,
      V_ROTATED: vRotated,
      NORM: normsQk || normsV,
      NORM_QK: normsQk,
      NORM_V: normsV,
      NORMS_TURNED: layer.normsTurned ?? false,
      GROWS: grows,
      CALIBRATED: calibration !== null,
      K_DENSE: kDense,
      V_DENSE: vDense,
      DENSE: kDense || vDense,
      HAS_CODES: hasCodes,
      CANDIDATES: candidates,
      CODE_WORDS: codeWords,
      TRELLIS: isChained,
      K_LARGEST_BITS: f32Word(codecOf(format.k).largestOf(format.k)),
      V_LARGEST_BITS: f32Word(codecOf(format.v).largestOf(format.v)),
      KEEPS_SIGNS: keepsSigns,
      HAS_RESIDUAL: residual !== null,
      WINDOW_CODES: hasWindowCodes,
      IS_ALONE: isAlone,
      // Only such a window has to know; other layers have a kernel in common whatever they see.
      ...(isAlone && { WINDOW: format.window, SLIDING: layer.slidingWindow }),
      WINDOW_K_SCALES_AT: residual?.layout.k.scales[0]?.offset ?? 0,
      WINDOW_V_SCALES_AT: residual?.layout.v.scales[0]?.offset ?? 0,
      ...at,
      ...(rotaryKey && {
        ROTARY_DIM: rotaryKey.dim,
        ROTARY_AT: rotaryKey.planes[0]!.offset,
        WIDE_ROTARY: rotaryKey.planes[0]!.width === 32,
        RESIDUAL_ROTARY_AT: residual?.layout.rotaryKey?.planes[0]?.offset ?? 0,
      }),
    };
    const storeText = (name: "k" | "v", side: SideFormat): string =>
      wgslCodecs.of(side).store({
        name,
        side,
        headDim,
        subgroup,
        layout: main[name],
        book: (index) => `book[${index}]`,
        feedback: transforms[name].feedback !== null,
      });
    const windowText = (side: "k" | "v", layout: PageLayout): string => {
      const of = windowSide(format);
      return wgslCodecs.of(of).store({
        name: `window_${side}`,
        side: of,
        headDim,
        subgroup,
        layout: layout[side],
        book: (index) => `constants[WINDOW_BOOK_AT + ${index}]`,
        feedback: transforms[side].feedback !== null,
      });
    };
    const inserts = {
      MAX_FLOAT16: `const MAX_FLOAT16 = ${floatText(MAX_FLOAT16)};`,
      HADAMARD: hadamardText(at.ROTATION_SIZE, bits),
      ROOT: `const ROOT = ${floatText(Math.sqrt(headDim))};`,
      STORE_K: hasKeys ? storeText("k", format.k) : "",
      STORE_V: hasValues ? storeText("v", format.v) : "",
      STORE_WINDOW:
        format.windowBits === 8 && residual ? sides.map((side) => windowText(side, residual.layout)).join("\n") : "",
    };
    const made = shader(rotaryKey ? "append-latent" : "append", params, values, inserts);
    return this.#commands.kernel(`append ${made.code}`, () => ({
      label: `append ${rotaryKey ? "latent " : ""}${sides.map((side) => nameOf(format[side])).join("/")} ${headDim}`,
      shader: made,
      buffers: ["read", "read", "read", "read", "write", "write", "write"],
    }));
  }

  #roomForAngles(index: number, numBytes: number): GpuBuffer {
    const known = this.#angles[index];
    if (known && known.numBytes >= numBytes) return known;
    if (known) this.#allocator.free(known);
    const made = this.#allocator.allocate(Math.max(1024, numBytes), "angles");
    this.#angles[index] = made;
    return made;
  }
}
