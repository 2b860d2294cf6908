/**
 * @file A stage: a run of consecutive layers in one memory of a backend, with the scratch memory that their blocks share.
 *
 * A model is a chain of stages that pass on the rows of the residual stream, one for each memory that it lies in.
 */
import type { AttentionLayer, Buf, Ops, RowNorm, Step } from "../backends/ops.ts";
import { isIndexState, type SharedShape, type StateShape } from "../cache/states/state-shape.ts";
import { assert } from "../errors.ts";
import type { LayerCalibration } from "../quant/calibration.ts";
import type { KvSpec } from "../quant/parse-kv-spec.ts";
import type { BlockStep, RunningBlock, RunningBranchStreams } from "./blocks/block.ts";
import type { LoadedBranch, LoadedNorm } from "./load-weights.ts";
import { StepRopes } from "./step-ropes.ts";

interface RunningBranch {
  /** What makes the row that the branch reads of several streams; null where the row is there. */
  readonly opens: RunningBranchStreams | null;
  /** What takes the row that the branch leaves back into them; null where another branch goes on with it. */
  readonly closes: RunningBranchStreams | null;
  /** Null when the block reads the residual stream, or what the branch beside it reads. */
  readonly norm: RowNorm | null;
  readonly block: RunningBlock;
  readonly postNorm: RowNorm | null;
  readonly isBeside: boolean;
  /** Whether the block reads all streams and adds to them. */
  readonly readsStreams: boolean;
  /** Whether the row that is made of the streams is not the one that the branch leaves. */
  readonly isApart: boolean;
  /** Whether the next branch is beside this one, with a norm of its own. */
  readonly besideNorm: RowNorm | null;
  /** Whether what the block makes takes the place of what is there. */
  readonly replaces: boolean;
  /** Whether a product may take the norm along, as nothing else reads its result later. */
  readonly isPlain: boolean;
}

const normOf = (norm: LoadedNorm | null, add: boolean): RowNorm | null => norm && { ...norm, add };

/** Whether `Ops.rmsNorm` computes it. */
export const isPlainNorm = (norm: LoadedNorm | null): boolean => norm?.kind === "rms" && !norm.bias;

/** Numbers the states of a model's blocks within each kind, as sequences number theirs. */
export type StateIndex = (shape: Pick<StateShape | SharedShape, "kind">) => number;

export function stateNumbering(): StateIndex {
  const states = new Map<string, number>();
  return ({ kind }) => {
    const index = states.get(kind) ?? 0;
    states.set(kind, index + 1);
    return index;
  };
}

export interface StageOptions {
  /** The layers of the stage; a stage of the embedding or the head alone has none. */
  readonly layers: readonly (readonly LoadedBranch[])[];
  /** Index in the model of the first of them. */
  readonly firstLayer: number;
  /** One numbering for all stages of a model, which are made in the order of their layers. */
  readonly stateIndex: StateIndex;
  readonly kv: KvSpec;
  /** One entry for each layer of the model; null or absent without calibration. */
  readonly calibration: readonly (LayerCalibration | null)[];
  /** f32 values a row takes in each buffer, `hidden` and `normed` included. */
  readonly widths: Readonly<Record<string, number>>;
}

export class Stage {
  readonly ops: Ops;
  readonly #branches: readonly RunningBranch[];
  readonly #widths: Readonly<Record<string, number>>;
  #buffers: Map<string, Buf> | null = null;
  #rows = 0;
  readonly #ropes = new StepRopes();

  constructor(ops: Ops, { layers, firstLayer, stateIndex, kv, calibration, widths }: StageOptions) {
    this.ops = ops;
    this.#widths = widths;
    const attention = new Map<number, AttentionLayer>();
    const attentionOf = (layer: number): AttentionLayer => {
      const own = attention.get(layer);
      assert(own, `layer ${layer} lies in another memory than a layer that reads its keys and values`);
      return own;
    };
    this.#branches = layers.flatMap((branches, index) => {
      let open: RunningBranchStreams | null = null;
      let isApart = false;
      // Whether what the block reads is not the row that the branch leaves.
      let readsApart = false;
      return branches.map((loaded, at): RunningBranch => {
        const { branch, weights } = loaded;
        const next = branches[at + 1];
        const isBeside = branch.isBeside ?? false;
        const layer = firstLayer + index;
        const block = branch.block.bind(weights, {
          stateIndex: branch.block.state ? stateIndex(branch.block.state) : -1,
          ropeIndex: (...of) => this.#ropes.indexOf(...of),
          format: kv.forLayer(layer, isIndexState(branch.block.state)),
          calibration: calibration[layer] ?? null,
          attentionOf,
        });
        if (block.attention) attention.set(layer, block.attention);
        const replaces = branch.replaces ?? false;
        const postNorm = normOf(loaded.postNorm, !replaces);
        const opens = branch.streams?.bind(loaded.streams) ?? null;
        open = opens ?? open;
        if (branch.streams) isApart = branch.streams.isApart ?? false;
        readsApart = loaded.norm !== null || (isBeside ? readsApart : isApart);
        assert(!replaces || loaded.postNorm || readsApart, "a block cannot write what it reads");
        return {
          opens,
          closes: !next || next.branch.streams ? open : null,
          replaces,
          norm: normOf(loaded.norm, false),
          block,
          postNorm: postNorm && { ...postNorm, factor: loaded.factor },
          isBeside,
          readsStreams: branch.readsStreams ?? false,
          isApart,
          besideNorm: next?.branch.isBeside ? normOf(next.norm, false) : null,
          isPlain: isPlainNorm(loaded.norm) && !isBeside && !next?.branch.isBeside,
        };
      });
    });
  }

  /** Attention parameters of the layers that have attention, in order. */
  get attentionLayers(): readonly AttentionLayer[] {
    return this.#branches.flatMap(({ block }) => block.attention ?? []);
  }

  /** Of the layers that keep rows of their own for each token: those of attention, and of keys of indexers. */
  get keptLayers(): readonly AttentionLayer[] {
    return this.#branches.flatMap(({ block: { attention, indexKeys } }) => [
      ...(attention && !attention.isShared ? [attention] : []),
      ...(indexKeys ? [indexKeys] : []),
    ]);
  }

  /** Begins a step: makes room for its rows and prepares what the backend's operations share. Must precede `run`. */
  begin(step: Step): void {
    this.reserveRows(step.tokens.length);
    this.ops.beginStep(step, this.#ropes.of(step));
  }

  /** Makes sure that the buffers hold `rows` rows; `begin` does it for those of a step. */
  reserveRows(rows: number): void {
    if (this.#buffers && this.#rows >= rows) return;
    this.#freeBuffers();
    this.#buffers = new Map(
      Object.entries(this.#widths).map(([name, width]) => [name, this.ops.alloc(rows * width)] as const),
    );
    this.#rows = rows;
  }

  /** Takes the rows of `hidden`, [rows][hiddenSize], through all layers, in place, or those of the buffer `streams` where there are several. */
  run(step: Step, hidden: Buf): void {
    const { ops } = this;
    const at = this.at(step);
    const { rows } = at;
    const normed = this.buffer("normed");
    let input = normed;
    for (const branch of this.#branches) {
      const { opens, closes, norm, block, postNorm, isBeside, besideNorm, replaces, isPlain, isApart } = branch;
      if (branch.readsStreams) {
        const streams = this.buffer("streams");
        block.run(at, streams, streams, true);
        continue;
      }
      const read = isApart ? normed : hidden;
      opens?.before(at, this.buffer("streams"), read);
      if (isBeside) {
        if (norm) input = this.buffer("besideNormed");
      } else if (norm) {
        input = normed;
        if (isPlain) ops.rmsNorm(read, norm.weight, norm.eps, rows, normed);
        else ops.norm(read, norm, rows, normed);
      } else input = read;
      // The next block reads the stream as it is before this one adds to it.
      if (besideNorm) ops.norm(hidden, besideNorm, rows, this.buffer("besideNormed"));
      if (postNorm) {
        const added = this.buffer("added");
        block.run(at, input, added, false);
        ops.norm(added, postNorm, rows, hidden);
      } else block.run(at, input, hidden, !replaces);
      closes?.after(at, this.buffer("streams"), hidden);
    }
  }

  /** What runs of a step need besides their rows. */
  at(step: Step): BlockStep {
    return { ops: this.ops, step, rows: step.tokens.length, scratch: (name) => this.buffer(name) };
  }

  buffer(name: string): Buf {
    return this.#buffers!.get(name)!;
  }

  /** See `Decoder.ropeLength`. */
  ropeLength(length: number): number {
    return this.#ropes.lengthOf(length);
  }

  /** Frees scratch memory and what blocks allocated; the caller owns the weights. */
  dispose(): void {
    for (const { block } of this.#branches) block.dispose?.();
    this.#freeBuffers();
  }

  #freeBuffers(): void {
    for (const buffer of this.#buffers?.values() ?? []) this.ops.free(buffer);
    this.#buffers = null;
    this.#rows = 0;
  }
}
