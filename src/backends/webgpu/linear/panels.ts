/**
 * @file Matrix products of many rows in two or three steps: x and the weight to f16 in panels, whole tiles on matrix units, and
 * where tiles are not whole, have a bias or share out their columns, sums from a buffer of their own to the rows of the result.
 */
import { wgslWeightFormat } from "../../../weights/registry.ts";
import type { GpuContext } from "../device/context.ts";
import { shaders } from "../generated/shaders.ts";
import type { BufferAllocator, GpuBuffer } from "../queue/buffers.ts";
import type { Commands } from "../queue/commands.ts";
import type { Kernel } from "../queue/kernel.ts";
import { shaderText } from "../queue/shader-text.ts";
import type { GpuWeight } from "./gpu-weight.ts";
import { panelBytes, panelLines, panelsOf, sliceOutputs } from "./panel-plan.ts";
import { PANEL, panelText, panelValues, TILE } from "./panel-text.ts";
import { readers, xType } from "./weight-text.ts";

/** Panels of a workgroup of pack-panels.wgsl. */
const PACKED_PANELS = 4;
/** Outputs of a workgroup of join-shares.wgsl. */
const JOINED_OUTPUTS = 1024;

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
  ): void {
    const commands = this.#commands;
    const { cols } = w;
    const panels = panelsOf(cols, shares);
    const packs = Math.ceil(panels / PACKED_PANELS);
    const xLines = panelLines(rows);
    const xPanels = this.#room("x", panelBytes(rows, panels));
    commands.dispatch(this.#packRows(cols), [rows, panels, cols, 0, 0, xLines], [x, x, xPanels], xLines / TILE, packs);
    for (const chunk of w.chunks) {
      const atOnce = sliceOutputs(chunk.rows, cols, rows, shares, this.#context.bindingBytes);
      for (let from = 0; from < chunk.rows; from += atOnce) {
        const outputs = Math.min(atOnce, chunk.rows - from);
        const first = chunk.first + from;
        const wLines = panelLines(outputs);
        const wPanels = this.#room("weight", panelBytes(outputs, panels));
        const pack = [outputs, panels, cols, w.stride, from, wLines];
        commands.dispatch(this.#packWeight(w), pack, [chunk.words, chunk.scales, wPanels], wLines / TILE, packs);
        const steps = panels / shares;
        const grid = [xLines / TILE, wLines / TILE, shares] as const;
        const isDirect = shares === 1 && !bias && rows % PANEL === 0;
        // Steps with other numbers of rows need the other kernels: the warm-up meets both ways.
        if (isDirect || commands.isWarmingUp) {
          const params = [steps, xLines, wLines, rows, outputs, first, add ? 1 : 0];
          commands.dispatch(this.#product(w.rows), params, [xPanels, wPanels, out], ...grid);
        }
        if (isDirect && !commands.isWarmingUp) continue;
        const sums = this.#room("sums", shares * xLines * wLines * 4);
        commands.dispatch(this.#product(null), [steps, xLines, wLines], [xPanels, wPanels, sums], ...grid);
        const join = [rows, outputs, first, w.rows, bias ? 1 : 0, add ? 1 : 0, shares, xLines, wLines / TILE];
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

  #packRows(cols: number): Kernel {
    const tail = cols % 8 !== 0;
    return this.#commands.kernel(`pack-panels rows ${tail}`, () => ({
      label: "panels of activations",
      code: packCode(null, tail),
      buffers: ["read", "read", "write"],
    }));
  }

  #packWeight({ type }: GpuWeight): Kernel {
    return this.#commands.kernel(`pack-panels ${type}`, () => ({
      label: `panels of ${type}`,
      code: packCode(type, false),
      buffers: ["read", "read", "write"],
    }));
  }

  #product(total: number | null): Kernel {
    return this.#commands.kernel(`linear-panels ${total}`, () => ({
      label: `linear panels, matrix units${total === null ? ", sums" : ""}`,
      code: productCode(total),
      buffers: ["read", "read", "write"],
    }));
  }

  #join(): Kernel {
    return this.#commands.kernel("join-shares", () => ({
      label: "linear panels, adding up",
      code: shaderText("join-shares", shaders["join-shares"], {}),
      buffers: ["read", "read", "write"],
    }));
  }
}

/** type: of a weight; null for activations. tail: columns that are no whole units */
export function packCode(type: GpuWeight["type"] | null, tail: boolean): string {
  const values = {
    ROWS: type === null,
    TAIL: tail,
    HALVES: type !== null && wgslWeightFormat(type).isHalf,
    PANELS: PACKED_PANELS,
  };
  const text = type === null ? `alias XTYPE = ${xType(tail)};` : readers(type, tail);
  return shaderText("pack-panels", shaders["pack-panels"], values, { READERS: text });
}

/** total: outputs of a row of the result; null for a buffer of sums */
export function productCode(total: number | null): string {
  const values = { ...panelValues, DIRECT: total !== null, PITCH_OUT: total ?? TILE };
  return shaderText("linear-panels", shaders["linear-panels"], values, panelText(total !== null));
}
