/**
 * @file The reference backend: every operation in plain TypeScript, written to be obviously right, not fast.
 *
 * Activations are stored as f32; sums are computed in f64. KV pages hold the same bytes as on every other backend.
 */
import { MemoryPageStorage } from "../../cache/memory-storage.ts";
import type { PageAddress } from "../../cache/page-storage.ts";
import { assert } from "../../errors.ts";
import { keptValues } from "../../weights/weight-part.ts";
import { assertBegun } from "../begun-step.ts";
import { EVERYTHING } from "../capabilities.ts";
import { checkTokens } from "../check-tokens.ts";
import type { ExpertHeadScratch, ExpertHeads, ExpertScratch, Experts, Router } from "../experts.ts";
import { outputWidthOf } from "../head-product.ts";
import { matchStreams } from "../match-streams.ts";
import type {
  Activation,
  AttentionLayer,
  Buf,
  ChosenTokens,
  ColumnRun,
  Compression,
  Convolution,
  DeltaRule,
  Gates,
  HeadProduct,
  HeadTurn,
  Ngrams,
  Ops,
  Rope,
  RowNorm,
  RowParts,
  Scan,
  ScanInputs,
  Step,
  StreamFactors,
  StreamMatch,
  StreamMix,
  TokenBlocks,
  TokenRuns,
  Weight,
  WeightPart,
  WeightType,
  WeightWriter,
} from "../ops.ts";
import { RouteScratch, routeRow, routeToken } from "../route.ts";
import { StackedWeight } from "../stacked-weight.ts";
import { streamFactors } from "../stream-factors.ts";
import { gatedActivation } from "./activations.ts";
import { appendKv, coarsen } from "./append.ts";
import { appendLatent } from "./append-latent.ts";
import { attend, chooseTokens } from "./attend.ts";
import { compress } from "./compress.ts";
import { convolve } from "./convolve.ts";
import { deltaRule } from "./delta-rule.ts";
import { mixExperts, multiplyExperts } from "./experts.ts";
import { embedNgrams } from "./ngrams.ts";
import { addProducts } from "./products.ts";
import { scan } from "./scan.ts";
import { turnHeads } from "./turn-heads.ts";

export class HostBuf implements Buf {
  readonly data: Float32Array;
  constructor(length: number) {
    this.data = new Float32Array(length);
  }
  get length(): number {
    return this.data.length;
  }
}

export class HostWeight implements Weight {
  readonly rows: number;
  readonly cols: number;
  readonly type: WeightType = "f32";
  readonly data: Float32Array;
  constructor(rows: number, cols: number, data: Float32Array) {
    this.rows = rows;
    this.cols = cols;
    this.data = data;
  }
  get numBytes(): number {
    return this.data.byteLength;
  }
}

const host = (buf: Buf): Float32Array => (buf as HostBuf).data;
const hostWeight = (weight: Weight): Float32Array => (weight as HostWeight).data;

const positionsOf = ({ positions, ...lists }: ChosenTokens) => ({ positions: host(positions), ...lists });

class ReferenceBackend implements Ops {
  readonly name = "reference";
  readonly capabilities = EVERYTHING;
  readonly pages = new MemoryPageStorage();
  readonly chunkTokens = 256;
  #step: Step | null = null;
  #ropes: readonly Rope[] = [];

  describe(): string {
    return "reference (plain TypeScript, one thread): for checking, not for speed";
  }

  /** Weights are kept as f32, with the values that `as` can represent; a checkpoint's plain numbers are not rounded. */
  loadWeight(parts: readonly WeightPart[], as: WeightType): Weight {
    const { rows, cols, data } = keptValues(parts, as);
    return new HostWeight(rows, cols, data);
  }

  createWeight(rows: number, cols: number, as: WeightType): WeightWriter {
    const data = new Float32Array(rows * cols);
    return {
      write: (part, row) => {
        data.set(keptValues([part], as).data, row * cols);
        return false;
      },
      finish: () => new HostWeight(rows, cols, data),
    };
  }

  freeWeight(): void {}

  alloc(length: number): Buf {
    return new HostBuf(length);
  }

  free(): void {}

  isRowInvariant(): boolean {
    return true;
  }

  beginStep(step: Step, ropes: readonly Rope[]): void {
    this.#step = step;
    this.#ropes = ropes;
  }

  embed(step: Step, table: Weight, out: Buf, scale = 1): void {
    assertBegun(step, this.#step, "embed");
    checkTokens("embed", step.tokens, table.rows);
    const { cols } = table;
    const source = hostWeight(table);
    step.tokens.forEach((token, row) => {
      const values = source.subarray(token * cols, (token + 1) * cols);
      host(out).set(scale === 1 ? values : values.map((value) => value * scale), row * cols);
    });
  }

  embedNgrams(step: Step, ngrams: Ngrams, table: Weight, out: Buf): void {
    assertBegun(step, this.#step, "embedNgrams");
    embedNgrams(this.pages, step, ngrams, hostWeight(table), table.cols, host(out));
  }

  addPositions(step: Step, table: Weight, out: Buf): void {
    assertBegun(step, this.#step, "addPositions");
    const { cols } = table;
    const [source, output] = [hostWeight(table), host(out)];
    step.positions.forEach((position, row) => {
      for (let i = 0; i < cols; i++) output[row * cols + i] = output[row * cols + i]! + source[position * cols + i]!;
    });
  }

  rmsNorm(x: Buf, weight: Weight, eps: number, rows: number, out: Buf): void {
    const width = weight.cols;
    const [input, w, output] = [host(x), hostWeight(weight), host(out)];
    for (let r = 0; r < rows; r++) {
      let sum = 0;
      for (let i = 0; i < width; i++) sum += input[r * width + i]! ** 2;
      const inverse = 1 / Math.sqrt(sum / width + eps);
      for (let i = 0; i < width; i++) output[r * width + i] = input[r * width + i]! * inverse * w[i]!;
    }
  }

  norm(x: Buf, norm: RowNorm, rows: number, out: Buf): void {
    const { kind, eps, add, groups = 1, cutoff, like } = norm;
    const width = (norm.weight.cols * norm.weight.rows) / groups;
    const { first = 0, stride = width, isCompact } = norm;
    const [input, output, w] = [host(x), host(out), hostWeight(norm.weight)];
    const b = norm.bias && hostWeight(norm.bias);
    const factor = norm.factor ? hostWeight(norm.factor)[0]! : 1;
    for (let r = 0; r < rows * groups; r++) {
      const at = r * stride + first;
      const to = isCompact ? r * width : at;
      const own = (r % groups) * width;
      const row = Float64Array.from(input.subarray(at, at + width));
      const mean = kind === "layer" ? row.reduce((sum, value) => sum + value, 0) / width : 0;
      const variance = row.reduce((sum, value) => sum + (value - mean) ** 2, 0) / width;
      const from = cutoff === undefined ? mean : mean + cutoff * Math.sqrt(variance);
      let inverse = cutoff === undefined && kind !== "none" ? 1 / Math.sqrt(variance + eps) : 1;
      if (like) {
        const at = r * like.stride + like.first;
        const squares = host(like.rows)
          .subarray(at, at + width)
          .reduce((sum, value) => sum + value ** 2, 0);
        inverse = Math.sqrt(squares / width / Math.max(variance, eps));
      }
      for (let i = 0; i < width; i++) {
        const normed = (row[i]! - from) * inverse;
        const value = (cutoff === undefined ? normed : Math.max(normed, 0)) * w[own + i]! + (b ? b[own + i]! : 0);
        output[to + i] = (add ? output[to + i]! + value : value) * factor;
      }
    }
  }

  linear(x: Buf, w: Weight, bias: Weight | null, rows: number, out: Buf, add: boolean): void {
    assert(out.length >= rows * w.rows && x.length >= rows * w.cols, "linear: buffer too short");
    const [input, output] = [host(x), host(out)];
    const b = bias ? hostWeight(bias) : null;
    const runs = w instanceof StackedWeight ? w.runs : [{ weight: w, first: 0 }];
    for (const { weight, first } of runs) {
      const values = hostWeight(weight);
      const sums = new Float64Array(weight.rows);
      for (let r = 0; r < rows; r++) {
        if (b) sums.set(b.subarray(first, first + weight.rows));
        else sums.fill(0);
        addProducts(values, w.cols, input, r * w.cols, sums);
        for (let o = 0, at = r * w.rows + first; o < weight.rows; o++, at++) {
          output[at] = add ? output[at]! + sums[o]! : sums[o]!;
        }
      }
    }
  }

  appendKv(step: Step, layer: AttentionLayer, qkv: Buf, q: Buf): void {
    assertBegun(step, this.#step, "appendKv");
    const rope = this.#ropes[layer.rope];
    assert(rope, `appendKv: layer ${layer.index} asks for rope ${layer.rope} of ${this.#ropes.length}`);
    const norms = {
      q: layer.qNorm && hostWeight(layer.qNorm),
      k: layer.kNorm && hostWeight(layer.kNorm),
      v: layer.vNorm ? hostWeight(layer.vNorm) : null,
    };
    appendKv(this.pages, step, layer, rope, norms, host(qkv), host(q));
  }

  coarsen(layer: AttentionLayer, tier: number, from: PageAddress, to: PageAddress): void {
    coarsen(this.pages, layer, tier, from, to);
  }

  appendLatent(step: Step, layer: AttentionLayer, latent: Buf, q: Buf): void {
    assertBegun(step, this.#step, "appendLatent");
    const rope = this.#ropes[layer.rope];
    assert(rope, `appendLatent: layer ${layer.index} asks for rope ${layer.rope} of ${this.#ropes.length}`);
    appendLatent(this.pages, step, layer, rope, host(latent), host(q));
  }

  turnHeads(step: Step, x: Buf, turn: HeadTurn): void {
    assertBegun(step, this.#step, "turnHeads");
    const rope = this.#ropes[turn.rope];
    assert(rope, `turnHeads: asks for rope ${turn.rope} of ${this.#ropes.length}`);
    turnHeads(step, rope, host(x), turn);
  }

  multiplyHeads(x: Buf, w: Weight, product: HeadProduct, rows: number, out: Buf): void {
    const { numHeads, headRows, first, count, isTransposed, inputWidth } = product;
    const [input, output, values] = [host(x), host(out), hostWeight(w)];
    const outputWidth = outputWidthOf(product, w.cols);
    for (let at = 0; at < rows * numHeads; at++) {
      const own = input.subarray(at * inputWidth, (at + 1) * inputWidth);
      const result = new Float64Array(outputWidth);
      const weightAt = (i: number): number => ((at % numHeads) * headRows + first + i) * w.cols;
      if (isTransposed) {
        for (let i = 0; i < count; i++) {
          for (let c = 0; c < w.cols; c++) result[c] = result[c]! + own[i]! * values[weightAt(i) + c]!;
        }
        result.set(own.subarray(count), w.cols);
      } else {
        for (let i = 0; i < count; i++) {
          for (let c = 0; c < w.cols; c++) result[i] = result[i]! + own[c]! * values[weightAt(i) + c]!;
        }
        result.set(own.subarray(w.cols), count);
      }
      output.set(result, at * outputWidth);
    }
  }

  attend(step: Step, layer: AttentionLayer, q: Buf, out: Buf, chosen?: ChosenTokens, logSums?: Buf): void {
    assertBegun(step, this.#step, "attend");
    const sinkLogits = layer.sinkLogits && hostWeight(layer.sinkLogits);
    const sums = logSums ? host(logSums) : null;
    attend(this.pages, step, layer, sinkLogits, host(q), host(out), chosen ? positionsOf(chosen) : null, sums);
  }

  chooseTokens(
    step: Step,
    layer: AttentionLayer,
    q: Buf,
    by: Buf | TokenBlocks | TokenRuns,
    chosen: ChosenTokens,
  ): void {
    assertBegun(step, this.#step, "chooseTokens");
    chooseTokens(this.pages, step, layer, host(q), "size" in by ? by : host(by), positionsOf(chosen));
  }

  swiglu(gateUp: Buf, rows: number, width: number, out: Buf): void {
    const [input, output] = [host(gateUp), host(out)];
    for (let r = 0; r < rows; r++) {
      for (let i = 0; i < width; i++) {
        const gate = input[r * 2 * width + i]!;
        output[r * width + i] = (gate / (1 + Math.exp(-gate))) * input[r * 2 * width + width + i]!;
      }
    }
  }

  activate(x: Buf, activation: Activation, rows: number, width: number, out: Buf): void {
    const { isGated, alphas } = activation;
    const [input, output] = [host(x), host(out)];
    const act = gatedActivation(activation, alphas && hostWeight(alphas));
    const stride = isGated ? 2 * width : width;
    for (let r = 0; r < rows; r++) {
      for (let i = 0; i < width; i++) {
        output[r * width + i] = act(input[r * stride + i]!, isGated ? input[r * stride + width + i]! : 1);
      }
    }
  }

  route(logits: Buf, router: Router, rows: number, routes: Buf): void {
    const vectors = {
      bias: router.bias && hostWeight(router.bias),
      expertScales: router.expertScales && hostWeight(router.expertScales),
    };
    const scratch = new RouteScratch();
    for (let r = 0; r < rows; r++) {
      routeRow(router, host(logits), r * router.stride, vectors, host(routes), r * 2 * router.topK, scratch);
    }
  }

  routeTokens(step: Step, logits: Buf, router: Router, experts: Weight, routes: Buf): void {
    assertBegun(step, this.#step, "routeTokens");
    const scratch = new RouteScratch();
    const { stride, topK } = router;
    step.tokens.forEach((token, r) => {
      const [table, out] = [hostWeight(experts), host(routes)];
      routeToken(router, host(logits), r * stride, table, token * topK, out, r * 2 * topK, scratch);
    });
  }

  experts(x: Buf, routes: Buf, of: Experts, rows: number, _scratch: ExpertScratch, out: Buf, add: boolean): void {
    assert(x !== out, "experts: the output is the input");
    const { gateUp, gateUpBias, down, downBias, activation } = of;
    const values = {
      gateUp: hostWeight(gateUp),
      gateUpBias: gateUpBias && hostWeight(gateUpBias),
      act: gatedActivation(activation, null),
      down: hostWeight(down),
      downBias: downBias && hostWeight(downBias),
    };
    mixExperts(of, values, host(x), host(routes), rows, host(out), add);
  }

  multiplyExperts(
    x: Buf,
    routes: Buf,
    heads: ExpertHeads,
    rows: number,
    _scratch: ExpertHeadScratch,
    out: Buf,
    add: boolean,
  ): void {
    const values = { matrix: hostWeight(heads.weight), bias: heads.bias && hostWeight(heads.bias) };
    multiplyExperts(heads, values, host(x), host(routes), rows, host(out), add);
  }

  convolve(step: Step, convolution: Convolution, x: Buf, out: Buf): void {
    assertBegun(step, this.#step, "convolve");
    const bias = convolution.bias && hostWeight(convolution.bias);
    convolve(this.pages, step, convolution, hostWeight(convolution.weight), bias, host(x), host(out));
  }

  compress(step: Step, of: Compression, x: Buf, out: Buf): void {
    assertBegun(step, this.#step, "compress");
    compress(this.pages, step, of, host(x), of.gateBias && hostWeight(of.gateBias), host(out));
  }

  deltaRule(step: Step, rule: DeltaRule, qkv: Buf, rates: Buf, decays: Buf, out: Buf): void {
    assertBegun(step, this.#step, "deltaRule");
    const inputs = {
      qkv: host(qkv),
      rates: host(rates),
      decays: host(decays),
      decayLog: hostWeight(rule.decayLog),
      decayBias: hostWeight(rule.decayBias),
    };
    deltaRule(this.pages, step, rule, inputs, host(out));
  }

  gate(x: Buf, gates: Buf, { first, stride, repeat, activation }: Gates, rows: number, width: number): void {
    const [values, factors] = [host(x), host(gates)];
    for (let r = 0; r < rows; r++) {
      for (let i = 0; i < width; i++) {
        const factor = factors[r * stride + first + Math.floor(i / repeat)]!;
        const sigmoid = activation === "none" ? 1 : 1 / (1 + Math.exp(-factor));
        values[r * width + i]! *= activation === "sigmoid" ? sigmoid : factor * sigmoid;
      }
    }
  }

  scan(step: Step, of: Scan, inputs: ScanInputs, out: Buf): void {
    assertBegun(step, this.#step, "scan");
    const [x, vectors, steps] = [host(inputs.x), host(inputs.vectors), host(inputs.steps)];
    scan(this.pages, step, of, { parameters: hostWeight(of.parameters), x, vectors, steps, out: host(out) });
  }

  mixStreams(x: Buf, mix: StreamMix, coefficients: Buf | null, rows: number, width: number, out: Buf): void {
    const { from, to, first, stride, factor, add } = mix;
    const [input, output] = [host(x), host(out)];
    const streams = new Float64Array(from.count);
    for (let r = 0; r < rows; r++) {
      const weights = coefficients && host(coefficients).subarray(r * stride + first);
      for (let column = 0; column < width; column++) {
        // All are read before the first is written, which may be one of them.
        for (let i = 0; i < from.count; i++) streams[i] = input[(r * from.of + from.first + i) * width + column]!;
        for (let j = 0; j < to.count; j++) {
          let sum = 0;
          for (let i = 0; i < from.count; i++) sum += (weights?.[j * from.count + i] ?? 1) * streams[i]!;
          const own = (r * to.of + to.first + j) * width + column;
          output[own] = (add ? output[own]! : 0) + factor * sum;
        }
      }
    }
  }

  matchStreams(x: Buf, y: Buf, match: StreamMatch, rows: number, width: number, out: Buf): void {
    matchStreams(host(x), host(y), match, rows, width, host(out));
  }

  streamFactors(factors: Buf, of: StreamFactors, rows: number): void {
    streamFactors(host(factors), of, hostWeight(of.scale), hostWeight(of.bias), rows);
  }

  scaleColumns(x: Buf, runs: readonly ColumnRun[], rows: number, width: number): void {
    const values = host(x);
    for (let r = 0; r < rows; r++) {
      let i = 0;
      for (const { end, factor } of runs) for (; i < end; i++) values[r * width + i]! *= factor;
    }
  }

  resizeParts(x: Buf, from: RowParts, count: number, rows: number, out: Buf, to: RowParts): void {
    const width = Math.min(from.width, to.width);
    for (let r = 0; r < rows; r++) {
      for (let part = 0; part < count; part++) {
        const [at, own] = [
          r * from.stride + from.first + part * from.width,
          r * to.stride + to.first + part * to.width,
        ];
        host(out)
          .fill(0, own, own + to.width)
          .set(host(x).subarray(at, at + width), own);
      }
    }
  }

  softcap(x: Buf, length: number, cap: number): void {
    const values = host(x);
    for (let i = 0; i < length; i++) values[i] = cap * Math.tanh(values[i]! / cap);
  }

  gatherRows(step: Step, x: Buf, width: number, out: Buf): void {
    assertBegun(step, this.#step, "gatherRows");
    step.logitRows.forEach((row, i) => {
      host(out).set(host(x).subarray(row * width, (row + 1) * width), i * width);
    });
  }

  async readback(buf: Buf, length: number, start = 0): Promise<Float32Array> {
    return host(buf).slice(start, start + length);
  }

  write(buf: Buf, values: Float32Array): void {
    host(buf).set(values);
  }

  async dispose(): Promise<void> {}
}

export function createReferenceBackend(): Ops {
  return new ReferenceBackend();
}
