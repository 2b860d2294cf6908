/** @file `attend` on the device: which kernel a span gets, the partial results, and their merge. */
import type { LayerCache } from "../../cache/kv-cache.ts";
import { exactGroup, mainGroup } from "../../cache/sequence.ts";
import { getCodebook } from "../../quant/codebook.ts";
import type { SideFormat } from "../../quant/kv-format.ts";
import { codeBits, isRotated } from "../../quant/page-layout.ts";
import type { AttentionLayer, Step } from "../ops.ts";
import { rotationValues } from "./append-constants.ts";
import type { BufferAllocator, GpuBuffer } from "./buffers.ts";
import type { Commands } from "./commands.ts";
import { shaders } from "./generated/shaders.ts";
import type { Kernel } from "./kernel.ts";
import { type GpuPageStorage, SLOT_MASK } from "./page-storage.ts";
import { sideReader } from "./read-text.ts";
import { shaderText } from "./shader-text.ts";
import { SPAN_WORDS, type StepBuffer } from "./step-buffer.ts";

interface Prepared {
  readonly attend: Kernel;
  readonly merge: Kernel;
  readonly centroids: GpuBuffer;
  readonly rotation: GpuBuffer;
}

export class AttentionKernels {
  readonly #commands: Commands;
  readonly #allocator: BufferAllocator;
  readonly #storage: GpuPageStorage;
  readonly #steps: StepBuffer;
  readonly #layers = new Map<AttentionLayer, Prepared>();
  readonly #constants = new Map<string, GpuBuffer>();
  #parts: GpuBuffer;
  #stats: GpuBuffer;

  constructor(commands: Commands, allocator: BufferAllocator, storage: GpuPageStorage, steps: StepBuffer) {
    this.#commands = commands;
    this.#allocator = allocator;
    this.#storage = storage;
    this.#steps = steps;
    this.#parts = allocator.allocate(16, "attention parts");
    this.#stats = allocator.allocate(16, "attention sums");
  }

  run(step: Step, layer: AttentionLayer, q: GpuBuffer, out: GpuBuffer): void {
    const { index, numHeads, numKvHeads, headDim, format } = layer;
    const cache = step.spans[0]!.sequence.cache.layers[index]!;
    const at = this.#steps.prepare(step);
    const rows = step.tokens.length;
    const { attend, merge, centroids, rotation } = this.#prepare(layer, cache);
    this.#parts = this.#room(this.#parts, rows * numHeads * headDim * 4);
    this.#stats = this.#room(this.#stats, rows * numHeads * 2 * 4);
    this.#commands.dispatch(
      attend,
      [at.rowsAt, at.spansAt + index * at.numSpans * SPAN_WORDS, format.window, format.sinks, layer.slidingWindow],
      [
        this.#steps.buffer,
        this.#storage.bufferOf(mainGroup(index), cache.main.numBytes),
        this.#storage.bufferOf(exactGroup(index), cache.exact?.numBytes ?? 0),
        q,
        centroids,
        this.#parts,
        this.#stats,
      ],
      numKvHeads,
      rows,
    );
    this.#commands.dispatch(
      merge,
      [1, 0, 0, 0],
      [this.#steps.buffer, this.#parts, this.#stats, rotation, out],
      numHeads,
      rows,
    );
  }

  #room(buffer: GpuBuffer, numBytes: number): GpuBuffer {
    if (buffer.numBytes >= numBytes) return buffer;
    this.#allocator.free(buffer);
    return this.#allocator.allocate(numBytes, "attention parts");
  }

  #constant(values: ArrayLike<number>, key: string): GpuBuffer {
    let buffer = this.#constants.get(key);
    if (!buffer) {
      const data = Float32Array.from(values);
      buffer = this.#allocator.allocate(data.byteLength, key);
      this.#commands.write(buffer, 0, data);
      this.#constants.set(key, buffer);
    }
    return buffer;
  }

  #prepare(layer: AttentionLayer, { main, exact }: LayerCache): Prepared {
    const known = this.#layers.get(layer);
    if (known) return known;
    const { format, headDim, numHeads, numKvHeads } = layer;
    const scaled = (side: SideFormat): Float32Array =>
      side.type.startsWith("tq") ? getCodebook(headDim, codeBits(side.type)).scaled : new Float32Array(0);
    const [kc, vc] = [scaled(format.k), scaled(format.v)];
    const common = { f16: false, headDim };
    const k = sideReader({ ...common, name: "k", pages: "pages", tableAt: 0 }, format.k, main.k);
    const v = sideReader({ ...common, name: "v", pages: "pages", tableAt: k.entries }, format.v, main.v);
    const half: SideFormat = { type: "f16", scale: "norm", search: false, qjl: false };
    const copies = exact ?? null;
    const xk = sideReader({ ...common, name: "xk", pages: "exact_pages", tableAt: 0 }, half, copies?.k ?? main.k);
    const xv = sideReader({ ...common, name: "xv", pages: "exact_pages", tableAt: 0 }, half, copies?.v ?? main.v);
    const values = {
      HEAD_DIM: headDim,
      NUM_HEADS: numHeads,
      GROUP: numHeads / numKvHeads,
      PAGE_BYTES: main.numBytes,
      EXACT_TOKENS: exact?.pageTokens ?? 1,
      EXACT_BYTES: exact?.numBytes ?? 0,
      HAS_EXACT: exact ? 1 : 0,
      SLOT_MASK,
      K_ENTRIES: k.entries,
      V_ENTRIES: v.entries,
      LUT_SIZE: Math.max(1, k.entries + v.entries),
    };
    const entry = (name: string, reader: typeof k, offset: number) =>
      `fn ${name}_entry(e: u32) -> u32 {\n  return ${reader.entryText(offset)};\n}`;
    const readers = [k.text, v.text, xk.text, xv.text, entry("k", k, 0), entry("v", v, kc.length)].join("\n");
    const code = shaderText("attend-simple", shaders["attend-simple"], values, { READERS: readers });
    const rotated = isRotated(format.v, format);
    const rotation = rotated ? rotationValues(layer) : { values: [], size: 1, rounds: 0 };
    const mergeValues = {
      HEAD_DIM: headDim,
      NUM_HEADS: numHeads,
      QR: rotated && format.rotation === "qr",
      ROTATION_SIZE: rotation.size,
      ROTATION_ROUNDS: rotation.rounds,
    };
    const prepared = {
      attend: this.#commands.kernel(code, () => ({
        label: `attention ${format.k.type}/${format.v.type}`,
        code,
        buffers: ["read", "read", "read", "read", "read", "write", "write"],
      })),
      merge: this.#commands.kernel(`attend-merge ${JSON.stringify(mergeValues)}`, () => ({
        label: "attention merge",
        code: shaderText("attend-merge", shaders["attend-merge"], mergeValues),
        buffers: ["read", "read", "read", "read", "write"],
      })),
      centroids: this.#constant([...kc, ...vc], `centroids ${headDim} ${format.k.type} ${format.v.type}`),
      rotation: this.#constant(
        rotation.values,
        rotated ? `rotation ${format.rotation} ${headDim} ${format.seed}` : "no rotation",
      ),
    };
    this.#layers.set(layer, prepared);
    return prepared;
  }
}
