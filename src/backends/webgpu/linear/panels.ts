/**
 * @file Matrix products of many rows in two or three steps: x and the weight to f16 in panels, whole tiles on matrix units, and
 * where tiles are not whole, have a bias or share out their columns, sums from a buffer of their own to the rows of the result.
 */
import { wgslWeightFormat } from "../../../weights/registry.ts";
import { Struct } from "../../parameters/struct.ts";
import type { GpuContext } from "../device/context.ts";
import type { BufferAllocator, GpuBuffer } from "../queue/buffers.ts";
import type { Commands } from "../queue/commands.ts";
import type { Kernel } from "../queue/kernel.ts";
import { type Shader, shader } from "../queue/shader-text.ts";
import type { GpuWeight } from "./gpu-weight.ts";
import { panelBytes, panelLines, panelsOf, sliceOutputs } from "./panel-plan.ts";
import { PANEL, panelText, panelValues, TILE } from "./panel-text.ts";
import { readers, xType } from "./weight-text.ts";

/** Panels of a workgroup of pack-panels.wgsl. */
const PACKED_PANELS = 4;
/** Invocations of a workgroup of join-shares.wgsl, and its outputs: four each. */
const JOIN_THREADS = 256;
const JOINED_OUTPUTS = 4 * JOIN_THREADS;

const packParams = new Struct({
  lines: ["u32", "Lines that there are, and panels to write."],
  panels: "u32",
  cols: ["u32", "Columns of x; units of eight columns from a row of the weight to the next."],
  stride: "u32",
  first: ["u32", "The weight's row that becomes line 0, and lines of a panel."],
  panelLines: "u32",
});

const productParams = new Struct({
  steps: ["u32", "Panels of a share of the columns, an even number."],
  xLines: ["u32", "Lines of a panel of x and of w, multiples of TILE."],
  wLines: "u32",
  rows: [
    "u32",
    "Multiples of sixteen: what there is of the tiles. Tiles of sums are whole, and nothing is read from here on.",
  ],
  outputs: "u32",
  first: ["u32", "Of `out`: the first output."],
  add: "u32",
});

const joinParams = new Struct({
  rows: "u32",
  outputs: ["u32", "Of the sums that are here, a multiple of sixteen."],
  first: "u32",
  total: ["u32", "A row's length of `out`."],
  hasBias: "u32",
  add: "u32",
  shares: "u32",
  sumLines: ["u32", "Lines of x in a tile of sums, and tiles of a share."],
  sumTiles: "u32",
});

type Scratch = "x" | "weight" | "sums";

export class PanelKernels {
  readonly #context: GpuContext;
  readonly #commands: Commands;
  readonly #allocator: BufferAllocator;
  /** Grow to the largest product, which the warm-up meets. */
  readonly #scratch = new Map<Scratch, GpuBuffer>();

  constructor(context: GpuContext, commands: Commands, allocator: BufferAllocator) {
    this.#context = context;
    this.#commands = commands;
    this.#allocator = allocator;
  }

  /** As `LinearKernels.run`. Rows of w, of each of its chunks too, are multiples of sixteen. */
  run(
    x: GpuBuffer,
    w: GpuWeight,
    bias: GpuWeight | null,
    rows: number,
    out: GpuBuffer,
    add: boolean,
    shares: number,
    offset: number,
    total: number,
  ): void {
    const commands = this.#commands;
    const { cols } = w;
    const panels = panelsOf(cols, shares);
    const packs = Math.ceil(panels / PACKED_PANELS);
    const xLines = panelLines(rows);
    const xPanels = this.#room("x", panelBytes(rows, panels));
    const packX = { lines: rows, panels, cols, stride: 0, first: 0, panelLines: xLines };
    commands.dispatch(this.#packRows(cols), packX, [x, x, xPanels], xLines / TILE, packs);
    for (const chunk of w.chunks) {
      const atOnce = sliceOutputs(chunk.rows, cols, rows, shares, this.#context.bindingBytes);
      for (let from = 0; from < chunk.rows; from += atOnce) {
        const outputs = Math.min(atOnce, chunk.rows - from);
        const first = offset + chunk.first + from;
        const wLines = panelLines(outputs);
        const wPanels = this.#room("weight", panelBytes(outputs, panels));
        const pack = { lines: outputs, panels, cols, stride: w.stride, first: from, panelLines: wLines };
        commands.dispatch(this.#packWeight(w), pack, [chunk.words, chunk.scales, wPanels], wLines / TILE, packs);
        const steps = panels / shares;
        const grid = [xLines / TILE, wLines / TILE, shares] as const;
        const isDirect = shares === 1 && !bias && rows % PANEL === 0;
        // Steps with other numbers of rows need the other kernels: the warm-up meets both ways.
        if (isDirect || commands.isWarmingUp) {
          const params = { steps, xLines, wLines, rows, outputs, first, add: add ? 1 : 0 };
          commands.dispatch(this.#product(total), params, [xPanels, wPanels, out], ...grid);
        }
        if (isDirect && !commands.isWarmingUp) continue;
        const sums = this.#room("sums", shares * xLines * wLines * 4);
        const product = { steps, xLines, wLines, rows: 0, outputs: 0, first: 0, add: 0 };
        commands.dispatch(this.#product(null), product, [xPanels, wPanels, sums], ...grid);
        const join = {
          rows,
          outputs,
          first,
          total,
          hasBias: bias ? 1 : 0,
          add: add ? 1 : 0,
          shares,
          sumLines: xLines,
          sumTiles: wLines / TILE,
        };
        const buffers = [sums, bias ? bias.buffer : sums, out];
        commands.dispatch(this.#join(), join, buffers, Math.ceil(outputs / JOINED_OUTPUTS), rows);
      }
    }
  }

  /** What is queued and uses a smaller buffer keeps it. */
  #room(name: Scratch, numBytes: number): GpuBuffer {
    const known = this.#scratch.get(name);
    if (known && known.numBytes >= numBytes) return known;
    if (known) this.#allocator.free(known);
    const buffer = this.#allocator.allocate(numBytes, `panels of a product: ${name}`);
    this.#scratch.set(name, buffer);
    return buffer;
  }

  #packRows(cols: number): Kernel<typeof packParams> {
    const tail = cols % 8 !== 0;
    return this.#commands.kernel(`pack-panels rows ${tail}`, () => ({
      label: "panels of activations",
      shader: packShader(null, tail),
      buffers: ["read", "read", "write"],
    }));
  }

  #packWeight({ type }: GpuWeight): Kernel<typeof packParams> {
    return this.#commands.kernel(`pack-panels ${type}`, () => ({
      label: `panels of ${type}`,
      shader: packShader(type, false),
      buffers: ["read", "read", "write"],
    }));
  }

  #product(total: number | null): Kernel<typeof productParams> {
    return this.#commands.kernel(`linear-panels ${total}`, () => ({
      label: `linear panels, matrix units${total === null ? ", sums" : ""}`,
      shader: productShader(total),
      buffers: ["read", "read", "write"],
    }));
  }

  #join(): Kernel<typeof joinParams> {
    return this.#commands.kernel("join-shares", () => ({
      label: "linear panels, adding up",
      shader: shader("join-shares", joinParams, { TILE, THREADS: JOIN_THREADS }),
      buffers: ["read", "read", "write"],
    }));
  }
}

/** type: of a weight; null for activations. tail: columns that are no whole units */
export function packShader(type: GpuWeight["type"] | null, tail: boolean): Shader<typeof packParams> {
  const values = {
    ROWS: type === null,
    TAIL: tail,
    HALVES: type !== null && wgslWeightFormat(type).isHalf,
    PANELS: PACKED_PANELS,
    TILE,
  };
  const text = type === null ? `alias SCALE = f32;\nalias XTYPE = ${xType(tail)};` : readers(type, tail);
  return shader("pack-panels", packParams, values, { READERS: text });
}

/** total: outputs of a row of the result; null for a buffer of sums */
export function productShader(total: number | null): Shader<typeof productParams> {
  const values = { ...panelValues, DIRECT: total !== null, PITCH_OUT: total ?? TILE };
  return shader("linear-panels", productParams, values, panelText(total !== null));
}
