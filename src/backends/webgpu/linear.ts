/** @file Matrix products and embeddings: which kernel a shape gets, and its dispatch. */
import type { WeightType } from "../ops.ts";
import type { GpuBuffer } from "./buffers.ts";
import { type Commands, MAX_GROUPS } from "./commands.ts";
import type { GpuContext } from "./context.ts";
import { shaders } from "./generated/shaders.ts";
import type { GpuWeight } from "./gpu-weight.ts";
import type { Kernel } from "./kernel.ts";
import { shaderText } from "./shader-text.ts";
import { weightText, wordType } from "./weight-text.ts";

/** Up to this many rows a weight is read once for all of them, by the lanes that share an output. */
const MAX_ROWS = 8;
/** Invocations of linear-rows.wgsl, and the sides of a tile of linear-tiled.wgsl. */
const ROW_THREADS = 128;
const TILE = 64;

export class LinearKernels {
  readonly #context: GpuContext;
  readonly #commands: Commands;

  constructor(context: GpuContext, commands: Commands) {
    this.#context = context;
    this.#commands = commands;
  }

  /** out[r] (+)= w · x[r] (+ bias) for r < rows. x: [rows][w.cols] · out: [rows][w.rows] */
  run(x: GpuBuffer, w: GpuWeight, bias: GpuWeight | null, rows: number, out: GpuBuffer, add: boolean): void {
    for (const { first, rows: outputs, words, scales } of w.chunks) {
      const params = [rows, w.cols, w.stride, outputs, first, w.rows, bias ? 1 : 0, add ? 1 : 0];
      const buffers = [words, scales, x, bias ? bias.buffer : scales, out];
      if (rows > MAX_ROWS) {
        this.#commands.dispatch(
          this.#tiled(w.type),
          params,
          buffers,
          Math.ceil(outputs / TILE),
          Math.ceil(rows / TILE),
        );
        continue;
      }
      const { kernel, lanes } = this.#rows(w.type, rows, w.cols % 8 !== 0);
      const groups = Math.ceil(outputs / (ROW_THREADS / lanes));
      const down = Math.ceil(groups / MAX_GROUPS);
      this.#commands.dispatch(kernel, params, buffers, Math.ceil(groups / down), down);
    }
  }

  /** out[row] = table[token], tokens[tokenAt + row · tokenStride] */
  embed(tokens: GpuBuffer, tokenAt: number, tokenStride: number, rows: number, table: GpuWeight, out: GpuBuffer): void {
    for (const { first, rows: count, words, scales } of table.chunks) {
      const kernel = this.#embed(table.type);
      const params = [rows, table.cols, table.stride, tokenAt, tokenStride, first, count];
      this.#commands.dispatch(kernel, params, [words, scales, tokens, out], rows);
    }
  }

  #rows(type: WeightType, rows: number, tail: boolean): { kernel: Kernel; lanes: number } {
    const { subgroupSize } = this.#context.features;
    const most = 2 ** Math.ceil(Math.log2(rows));
    // Lanes of a subgroup add up without workgroup memory.
    const lanes = subgroupSize > 0 && subgroupSize <= ROW_THREADS ? subgroupSize : 32;
    const values = { SUBGROUPS: subgroupSize > 0 && subgroupSize <= ROW_THREADS, TAIL: tail, LANES: lanes, ROWS: most };
    const kernel = this.#commands.kernel(`linear-rows ${type} ${JSON.stringify(values)}`, () => ({
      label: `linear ${type}, ${most} row${most > 1 ? "s" : ""}`,
      code: shaderText("linear-rows", shaders["linear-rows"], values, {
        WEIGHT: `${aliases(type, tail ? "f32" : "vec4f")}\n${weightText(type)}`,
      }),
      buffers: ["read", "read", "read", "read", "write"],
    }));
    return { kernel, lanes };
  }

  #tiled(type: WeightType): Kernel {
    return this.#commands.kernel(`linear-tiled ${type}`, () => ({
      label: `linear ${type}, tiles`,
      code: shaderText(
        "linear-tiled",
        shaders["linear-tiled"],
        {},
        {
          WEIGHT: `${aliases(type, "f32")}\n${weightText(type)}`,
        },
      ),
      buffers: ["read", "read", "read", "read", "write"],
    }));
  }

  #embed(type: WeightType): Kernel {
    return this.#commands.kernel(`embed ${type}`, () => ({
      label: `embed ${type}`,
      code: shaderText("embed", shaders.embed, {}, { WEIGHT: `${aliases(type, "f32")}\n${weightText(type)}` }),
      buffers: ["read", "read", "read", "write"],
    }));
  }
}

const aliases = (type: WeightType, x: string): string => `alias WORD = ${wordType(type)};\nalias XTYPE = ${x};`;
