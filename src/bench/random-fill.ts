/** @file Fills all that a model keeps of each token with random rows, through the backend's own appends, without running the model. */
import type { AttentionLayer, Buf, Ops, Step, Weight } from "../backends/ops.ts";
import { qkvWidth } from "../backends/qkv-width.ts";
import { CounterRng } from "../math/rng.ts";
import type { Decoder } from "../models/decoder.ts";
import { FILL_ROWS } from "./random-kv.ts";

/** Stream of the counter-based RNG. */
const STREAM_ROWS = 0xf112;

/** Random rows of one width, and room for those of a step. */
interface Rows {
  readonly table: Weight;
  readonly taken: Buf;
}

export class RandomFill {
  readonly #rows = new Map<Ops, Map<number, Rows>>();
  readonly #queries = new Map<Ops, Buf>();

  /** Appends the rows of a step, at most FILL_ROWS, to all layers. Its token ids select rows of random tables. */
  append(step: Step, decoder: Decoder): void {
    decoder.begin(step);
    for (const { ops, layer } of decoder.keptLayers) {
      const isLatent = layer.rotaryKeyDim > 0;
      const { table, taken } = this.#rowsOf(ops, isLatent ? layer.headDim + layer.rotaryKeyDim : qkvWidth(layer));
      const queries = this.#queriesOf(ops, layer);
      ops.embed(step, table, taken);
      if (isLatent) ops.appendLatent(step, layer, taken, queries);
      else ops.appendKv(step, layer, taken, queries);
    }
  }

  dispose(): void {
    for (const [ops, tables] of this.#rows) {
      for (const { table, taken } of tables.values()) {
        ops.freeWeight(table);
        ops.free(taken);
      }
    }
    for (const [ops, queries] of this.#queries) ops.free(queries);
    this.#rows.clear();
    this.#queries.clear();
  }

  #rowsOf(ops: Ops, width: number): Rows {
    const tables = this.#rows.get(ops) ?? new Map<number, Rows>();
    this.#rows.set(ops, tables);
    let rows = tables.get(width);
    if (!rows) {
      const rng = new CounterRng(1, STREAM_ROWS);
      const data = Float32Array.from({ length: FILL_ROWS * width }, (_, i) => rng.gaussian(i));
      const part = { dtype: "f32", rows: FILL_ROWS, cols: width, data: new Uint8Array(data.buffer) } as const;
      rows = { table: ops.loadWeight([part], "f32"), taken: ops.alloc(FILL_ROWS * width) };
      tables.set(width, rows);
    }
    return rows;
  }

  /** Room for queries, which nothing reads. */
  #queriesOf(ops: Ops, { numHeads, headDim, rotaryKeyDim }: AttentionLayer): Buf {
    const length = FILL_ROWS * numHeads * (headDim + rotaryKeyDim);
    let queries = this.#queries.get(ops);
    if (!queries || queries.length < length) {
      if (queries) ops.free(queries);
      queries = ops.alloc(length);
      this.#queries.set(ops, queries);
    }
    return queries;
  }
}
