/** @file `coarsen` of the WebGPU backend: pages that are coded anew in fewer bits, a dispatch for each. */
import type { PageAddress } from "../../../cache/page-storage.ts";
import { mainGroup } from "../../../cache/states/kv-state.ts";
import { planeShifts } from "../../../quant/bit-pack.ts";
import { codecOf, nameOf, type SideFormat } from "../../../quant/codecs/registry.ts";
import type { PageLayout, SideLayout } from "../../../quant/page-layout.ts";
import { dimOf } from "../../../quant/page-regions.ts";
import type { LayerCopies } from "../../../quant/prepared-layer.ts";
import { MAX_FLOAT16 } from "../../../quant/sanitize.ts";
import { SEARCH_FACTORS } from "../../../quant/vector-quantizer.ts";
import { agedPages } from "../../aged-pages.ts";
import type { AttentionLayer, Step } from "../../ops.ts";
import { Struct } from "../../parameters/struct.ts";
import { candidateWords, feedbackLanes } from "../codec/feedback-text.ts";
import { mostCodeWords, wgslCodecs } from "../codec/registry.ts";
import type { BufferAllocator, GpuBuffer } from "../queue/buffers.ts";
import type { Commands } from "../queue/commands.ts";
import type { Kernel } from "../queue/kernel.ts";
import { type GpuPageStorage, SLOT_MASK } from "../queue/page-storage.ts";
import { floatText, shader } from "../queue/shader-text.ts";
import { type CoarsenConstants, makeCoarsenConstants } from "./append-constants.ts";

/** Invocations of a workgroup. */
const THREADS = 128;

const params = new Struct({
  fromSlot: ["u32", "Slots of the page that is read, and of the one that is written."],
  toSlot: "u32",
  zero: ["u32", "Always 0, which a compiler cannot know; see exact.wgsl."],
});

/** Whose vectors are equally long. */
type Sides = readonly ("k" | "v")[];

/** Such sides, of one step from a tier to the next. */
interface CoarsenPart {
  readonly kernel: Kernel<typeof params>;
  readonly constants: GpuBuffer;
  readonly heads: number;
}

interface LayerCoarsen extends LayerCopies {
  /** For each coarser tier. */
  readonly tiers: readonly (readonly CoarsenPart[])[];
}

/** A tier of a layer: what its rows are, and where they lie. */
interface Tier {
  readonly k: SideFormat;
  readonly v: SideFormat;
  readonly layout: PageLayout;
}

export class CoarsenKernels {
  readonly #commands: Commands;
  readonly #allocator: BufferAllocator;
  readonly #storage: GpuPageStorage;
  /** Bound where other kernels of these bindings have what this one does not read or write. */
  readonly #read: GpuBuffer;
  readonly #written: GpuBuffer;

  constructor(commands: Commands, allocator: BufferAllocator, storage: GpuPageStorage) {
    this.#commands = commands;
    this.#allocator = allocator;
    this.#storage = storage;
    this.#read = allocator.allocate(16, "nothing to read");
    this.#written = allocator.allocate(16, "nothing to write");
  }

  /** Codes the pages anew that grow old enough in the step, tier after tier; behind the append of the layer. */
  run(step: Step, layer: AttentionLayer): void {
    for (let tier = 0; tier < layer.cache.tiers.length; tier++) {
      if (this.#commands.isWarmingUp) this.coarsen(layer, tier, 0, 0);
      else for (const { from, to } of agedPages(step, layer, tier)) this.coarsen(layer, tier, from, to);
    }
  }

  /** See `Ops.coarsen`. */
  coarsen(layer: AttentionLayer, tier: number, from: PageAddress, to: PageAddress): void {
    const { index, cache } = layer;
    const prepared = layer.kv.copies(this, () => this.#prepare(layer));
    const [source, target] = [cache.tiers[tier - 1]?.layout ?? cache.main, cache.tiers[tier]!.layout];
    const [pages, finer] = [target, source].map(({ numBytes }) =>
      this.#storage.bufferOf(mainGroup(index), numBytes),
    ) as [GpuBuffer, GpuBuffer];
    const values = { fromSlot: from & SLOT_MASK, toSlot: to & SLOT_MASK, zero: 0 };
    for (const { kernel, constants, heads } of prepared.tiers[tier]!) {
      const buffers = [this.#read, this.#read, this.#read, constants, pages, finer, this.#written];
      this.#commands.dispatch(kernel, values, buffers, heads, source.pageTokens);
    }
  }

  #prepare(layer: AttentionLayer): LayerCoarsen {
    const { format } = layer.kv;
    const { main, tiers: coarser } = layer.cache;
    const all: Tier[] = [
      { ...format, layout: main },
      ...coarser.map(({ layout }, i) => ({ ...format.tiers![i]!, layout })),
    ];
    const parts: readonly Sides[] = layer.headDim === layer.valueDim ? [["k", "v"]] : [["k"], ["v"]];
    const made = parts.map((sides) => {
      const { values, at } = makeCoarsenConstants(layer.kv, sides, all);
      const constants = this.#allocator.allocate(values.byteLength, `constants of the tiers of layer ${layer.index}`);
      this.#commands.write(constants, 0, values);
      return { sides, constants, at };
    });
    const tiers = coarser.map((_, tier) =>
      made.map(({ sides, constants, at }) => ({
        kernel: this.#kernel(layer, sides, all[tier]!, all[tier + 1]!, at[tier]!),
        constants,
        heads: sides.length * layer.numKvHeads,
      })),
    );
    return {
      tiers,
      dispose: () => {
        for (const { constants } of made) this.#allocator.free(constants);
      },
    };
  }

  #kernel(
    layer: AttentionLayer,
    sides: Sides,
    from: Tier,
    to: Tier,
    at: CoarsenConstants["at"][number],
  ): Kernel<typeof params> {
    const { kv, numKvHeads } = layer;
    const headDim = dimOf(kv, sides[0]!);
    const [hasKeys, hasValues] = (["k", "v"] as const).map((side) => sides.includes(side)) as [boolean, boolean];
    const hasFeedback = sides.some((side) => kv.transforms[side].feedback !== null);
    const subgroup = hasFeedback ? feedbackLanes(this.#commands.context.features.subgroupSize, THREADS, headDim) : 0;
    const isChained = sides.some((side) => wgslCodecs.of(to[side]).isChained);
    const named = {
      HEAD_DIM: headDim,
      NUM_KV_HEADS: numKvHeads,
      HAS_KEYS: hasKeys,
      HAS_VALUES: hasValues,
      PAGE_BYTES: to.layout.numBytes,
      FINER_BYTES: from.layout.numBytes,
      THREADS,
      NUM_FACTORS: SEARCH_FACTORS.length,
      HAS_CODES: true,
      CANDIDATES: candidateWords(headDim, hasFeedback, isChained),
      CODE_WORDS: mostCodeWords(sides.map((side) => to[side])),
      TRELLIS: isChained,
      // Rows are in the space of the codes already.
      ...{
        EXCHANGES: subgroup > 0,
        ROTATED: false,
        DENSE: false,
        NORM: false,
        WINDOW_CODES: false,
        KEEPS_SIGNS: false,
      },
      ROTATION_AT: 0,
      ...at,
    };
    const store = (name: "k" | "v"): string => {
      const [side, feedback] = [to[name], kv.transforms[name].feedback !== null];
      return wgslCodecs
        .of(side)
        .store({ name, side, headDim, subgroup, layout: to.layout[name], book: (index) => `book[${index}]`, feedback });
    };
    const read = (name: "k" | "v"): string => readText(from.layout[name], from[name], `${name.toUpperCase()}_FINER_AT`);
    const inserts = {
      MAX_FLOAT16: `const MAX_FLOAT16 = ${floatText(MAX_FLOAT16)};`,
      HADAMARD: "",
      ROOT: `const ROOT = ${floatText(Math.sqrt(headDim))};`,
      STORE_K: hasKeys ? store("k") : "",
      STORE_V: hasValues ? store("v") : "",
      STORE_WINDOW: "",
      READ: hasKeys && hasValues ? `if (is_key) {\n${read("k")}\n} else {\n${read("v")}\n}` : read(sides[0]!),
    };
    const made = shader("coarsen", params, named, inserts);
    return this.#commands.kernel(`coarsen ${made.code}`, () => ({
      label: `codes anew, ${sides.map((side) => `${nameOf(from[side])} to ${nameOf(to[side])}`).join(", ")}`,
      shader: made,
      buffers: ["read", "read", "read", "read", "write", "write", "write"],
    }));
  }
}

/** Statements that leave a row of a page of `residual_pages` in `xs`, in the space of its codes. finerAt: name of where its centroids begin */
function readText({ planes, scales }: SideLayout, side: SideFormat, finerAt: string): string {
  const place = (region: (typeof planes)[number] | (typeof scales)[number]): string =>
    `p.from_slot * FINER_BYTES + ${region!.offset}u + head * ${region!.headStride}u + slot * ${region!.rowBytes}u`;
  const fields = planeShifts(codecOf(side).bitsOf(side)).map(({ width, shift }, i) => {
    const bit = `i * ${width}u`;
    return `{
      let byte = ${place(planes[i]!)} + ${bit} / 8u;
      let field = atomicLoad(&residual_pages[byte >> 2u]) >> ((byte & 3u) * 8u + ${bit} % 8u);
      code |= (field & ${2 ** width - 1}u) << ${shift}u;
    }`;
  });
  return `
  let scale_at = ${place(scales[0]!)};
  let scale = unpack2x16float(atomicLoad(&residual_pages[scale_at >> 2u]) >> ((scale_at & 2u) * 8u)).x;
  for (var i = l; i < HEAD_DIM; i += THREADS) {
    var code = 0u;
    ${fields.join("\n    ")}
    xs[i] = scale * constants[${finerAt} + code];
  }`;
}
