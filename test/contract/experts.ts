/** @file Contract of mixtures of experts: which experts are chosen and what they give. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ExpertHeads, Experts, Router } from "../../src/backends/experts.ts";
import type { Activation, Ops, WeightType } from "../../src/backends/ops.ts";
import { createReferenceBackend } from "../../src/backends/reference/backend.ts";
import { weightFormat } from "../../src/weights/registry.ts";
import { isPlain } from "../../src/weights/weight-format.ts";
import { storedAs } from "../support/stored-weights.ts";
import { download, gaussians, partOf, relativeError, upload } from "../support/wasm-backend.ts";
import type { Target } from "./target.ts";

type RouterCase = Omit<Router, "bias" | "expertScales" | "stride"> & {
  readonly isBiased: boolean;
  readonly isScaled?: boolean;
  readonly behind: number;
};

const PLAIN: RouterCase = {
  numExperts: 8,
  topK: 2,
  score: "softmax",
  jitter: 0,
  scoresChosen: false,
  groups: null,
  normalizes: false,
  epsilon: 0,
  scale: 1,
  isBiased: false,
  behind: 0,
};

const NO_VECTORS = { bias: null, expertScales: null };

const ROUTERS: readonly RouterCase[] = [
  PLAIN,
  { ...PLAIN, numExperts: 2, topK: 2, normalizes: true },
  { ...PLAIN, numExperts: 128, topK: 8, normalizes: true, behind: 1 },
  { ...PLAIN, numExperts: 32, topK: 4, scoresChosen: true },
  { ...PLAIN, numExperts: 16, topK: 1, score: "sigmoid", scoresChosen: true },
  { ...PLAIN, numExperts: 65, topK: 6, isBiased: true, normalizes: true, epsilon: 1e-12 },
  { ...PLAIN, score: "sigmoid", isBiased: true, normalizes: true, epsilon: 1e-20, scale: 2.5 },
  { ...PLAIN, numExperts: 24, topK: 5, groups: { count: 6, chosen: 2, by: "best" }, scale: 1.5 },
  {
    ...PLAIN,
    ...{ numExperts: 256, topK: 8, score: "sigmoid", isBiased: true, normalizes: true, epsilon: 1e-20 },
    groups: { count: 8, chosen: 4, by: "bestTwo" },
  },
  { ...PLAIN, numExperts: 65, topK: 3, normalizes: true, isScaled: true, scale: 1.5 },
  { ...PLAIN, numExperts: 12, topK: 4, score: "sigmoid", isBiased: true, isScaled: true },
  { ...PLAIN, numExperts: 5, score: "sparsemixer", jitter: 0.01 },
  { ...PLAIN, numExperts: 16, score: "sparsemixer", jitter: 0.3 },
];

const SILU: Activation = { kind: "silu", isGated: true, alphas: null };

interface ExpertCase {
  readonly numExperts: number;
  readonly topK: number;
  readonly width: number;
  readonly cols: number;
  readonly outputs: number;
  readonly rows: number;
  readonly activation?: Activation;
  readonly hasBias?: boolean;
  readonly scalesInput?: boolean;
  readonly add?: boolean;
  /** Experts that give what they read. */
  readonly identities?: number;
}

/** One row, a few, more than a tile of one expert, more experts than rows; columns that fill no unit. */
const EXPERTS: readonly ExpertCase[] = [
  { numExperts: 8, topK: 2, width: 48, cols: 64, outputs: 64, rows: 1, add: true },
  { numExperts: 6, topK: 3, width: 18, cols: 36, outputs: 20, rows: 3, hasBias: true },
  { numExperts: 4, topK: 1, width: 64, cols: 32, outputs: 32, rows: 1, scalesInput: true, add: true },
  { numExperts: 4, topK: 2, width: 34, cols: 36, outputs: 68, rows: 70, scalesInput: true },
  {
    ...{ numExperts: 5, topK: 2, width: 32, cols: 64, outputs: 64, rows: 4, hasBias: true, add: true },
    activation: { ...SILU, clamp: { limit: 1.5, slope: 1.702, offset: 1 } },
  },
  {
    ...{ numExperts: 3, topK: 2, width: 66, cols: 64, outputs: 64, rows: 70, hasBias: true, add: true },
    activation: { ...SILU, clamp: { limit: 1.5, slope: 1.702, offset: 1 } },
  },
  { numExperts: 3, topK: 2, width: 7, cols: 13, outputs: 18, rows: 2, hasBias: true },
  { numExperts: 4, topK: 2, width: 9, cols: 36, outputs: 31, rows: 70, hasBias: true, add: true },
  { numExperts: 64, topK: 4, width: 12, cols: 40, outputs: 40, rows: 20, add: true },
  { numExperts: 4, topK: 2, width: 20, cols: 24, outputs: 24, rows: 2, activation: { ...SILU, kind: "gelu_tanh" } },
  { numExperts: 3, topK: 2, width: 20, cols: 24, outputs: 24, rows: 4, identities: 2 },
  { numExperts: 3, topK: 3, width: 20, cols: 24, outputs: 24, rows: 40, identities: 4, add: true },
  { numExperts: 1, topK: 2, width: 20, cols: 24, outputs: 24, rows: 1, identities: 5 },
  {
    ...{ numExperts: 4, topK: 2, width: 20, cols: 24, outputs: 24, rows: 12 },
    activation: { kind: "relu2", isGated: false, alphas: null },
  },
];

interface HeadCase {
  readonly numExperts: number;
  readonly topK: number;
  /** Of an expert. */
  readonly numHeads: number;
  readonly headDim: number;
  /** Values of a row without heads. */
  readonly hidden: number;
  readonly rows: number;
  /** Columns before the heads. */
  readonly before: number;
  readonly hasBias: boolean;
  readonly add: boolean;
}

const HEADS: readonly HeadCase[] = [
  { numExperts: 4, topK: 2, numHeads: 2, headDim: 16, hidden: 64, rows: 1, before: 0, hasBias: true, add: true },
  { numExperts: 6, topK: 3, numHeads: 3, headDim: 24, hidden: 80, rows: 3, before: 7, hasBias: false, add: false },
  { numExperts: 3, topK: 1, numHeads: 4, headDim: 8, hidden: 36, rows: 70, before: 0, hasBias: true, add: false },
];

/**
 * Adds the tests. types: formats of weights · isShared: each case of EXPERTS has one of them, since how a weight is read depends neither on activations
 * nor on where rows go; pairs of neighbours alternate, so that each format meets one row, a few and more than a tile
 */
export function expertsContract({ open, limits }: Target, types: readonly WeightType[], isShared = false): void {
  const reference = createReferenceBackend();
  let ops: Ops;
  beforeAll(async () => {
    ops = await open();
  });
  afterAll(() => ops?.dispose());

  async function routed(
    each: Ops,
    { isBiased, isScaled, behind, ...router }: RouterCase,
    rows: number,
  ): Promise<Float32Array> {
    const { numExperts, topK } = router;
    const stride = numExperts + behind;
    const logits = upload(each, gaussians(7, rows * stride, 2));
    const vector = (seed: number, scale: number) =>
      each.loadWeight([partOf(gaussians(seed, numExperts, scale), numExperts)], "f32");
    const bias = isBiased ? vector(8, 0.2) : null;
    const expertScales = isScaled ? vector(10, 1) : null;
    const routes = each.alloc(rows * 2 * topK);
    each.route(logits, { ...router, stride, bias, expertScales }, rows, routes);
    const values = await download(each, routes);
    for (const buf of [logits, routes]) each.free(buf);
    return values;
  }

  it.each(ROUTERS)(
    "route: $topK of $numExperts by $score, chosen first $scoresChosen, groups $groups",
    async (router) => {
      for (const rows of [1, 9]) {
        const [actual, expected] = [await routed(ops, router, rows), await routed(reference, router, rows)];
        const isNumber = (_: number, i: number): boolean => i % (2 * router.topK) < router.topK;
        expect([...actual].filter(isNumber), `${rows} rows`).toEqual([...expected].filter(isNumber));
        expect(relativeError(actual, expected), `${rows} rows`).toBeLessThan(limits.elementwise());
      }
    },
  );

  it("route: of equal experts the first ones, and a row that is not finite stays in its row", async () => {
    const router: Router = { ...PLAIN, numExperts: 6, topK: 3, stride: 6, ...NO_VECTORS, normalizes: true };
    const x = new Float32Array(12);
    x.fill(Number.NaN, 6);
    const routes = ops.alloc(12);
    ops.route(upload(ops, x), router, 2, routes);
    const values = await download(ops, routes);
    expect([...values.subarray(0, 3)]).toEqual([0, 1, 2]);
    for (const weight of values.subarray(3, 6)) expect(weight).toBeCloseTo(1 / 3, 6);
    for (const expert of values.subarray(6, 9)) expect([0, 1, 2, 3, 4, 5]).toContain(expert);
    expect([...values.subarray(9)].some(Number.isFinite)).toBe(false);
  });

  it("route: a row of zeros gives sparsemixer's experts a fourth, and a third of what is left", async () => {
    const router: Router = { ...PLAIN, numExperts: 4, score: "sparsemixer", jitter: 0.01, stride: 4, ...NO_VECTORS };
    const routes = ops.alloc(4);
    ops.route(upload(ops, new Float32Array(4)), router, 1, routes);
    const [first, second, ...weights] = await download(ops, routes);
    expect([first, second]).toEqual([0, 1]);
    expect(weights[0]).toBeCloseTo(1 / 4, 6);
    expect(weights[1]).toBeCloseTo(1 / 3, 6);
  });

  async function mixed(each: Ops, type: WeightType, c: ExpertCase): Promise<Float32Array> {
    const { numExperts, topK, width, cols, outputs, rows, add = false, activation = SILU, identities = 0 } = c;
    const height = activation.isGated ? 2 * width : width;
    const matrix = (seed: number, rowsOf: number, colsOf: number) => {
      const writer = each.createWeight(numExperts * rowsOf, colsOf, type, rowsOf);
      void writer.write(storedAs(type, gaussians(seed, numExperts * rowsOf * colsOf, 0.25), colsOf), 0);
      return writer.finish();
    };
    const vector = (seed: number, length: number) => each.loadWeight([partOf(gaussians(seed, length), 1)], "f32");
    const experts: Experts = {
      numExperts,
      topK,
      width,
      gateUp: matrix(1, height, cols),
      gateUpBias: c.hasBias ? vector(3, numExperts * height) : null,
      activation,
      down: matrix(2, outputs, width),
      downBias: c.hasBias ? vector(4, numExperts * outputs) : null,
      scalesInput: c.scalesInput ?? false,
      hasIdentities: identities > 0,
    };
    // Any experts, each of a row another; the last one of all is never chosen where there are enough.
    const routes = new Float32Array(rows * 2 * topK);
    const weights = gaussians(5, rows * topK);
    for (let r = 0; r < rows; r++) {
      for (let k = 0; k < topK; k++) {
        routes[r * 2 * topK + k] = (r * r + k) % Math.max(topK, numExperts + identities - 1);
        routes[r * 2 * topK + topK + k] = 0.5 + Math.abs(weights[r * topK + k]!);
      }
    }
    const scratch = {
      hidden: each.alloc(rows * topK * height),
      activated: each.alloc(rows * topK * width),
      output: each.alloc(rows * topK * Math.max(cols, outputs)),
    };
    const out = upload(each, gaussians(9, rows * outputs + 4));
    each.experts(upload(each, gaussians(6, rows * cols)), upload(each, routes), experts, rows, scratch, out, add);
    const values = await download(each, out);
    expect(values.subarray(rows * outputs), "behind the output").toEqual(gaussians(9, rows * outputs + 4).subarray(-4));
    for (const weight of [experts.gateUp, experts.down]) each.freeWeight(weight);
    return values;
  }

  async function headed(each: Ops, type: WeightType, c: HeadCase, gathers: boolean): Promise<Float32Array> {
    const { numExperts, topK, numHeads, headDim, hidden, rows, before, hasBias, add } = c;
    const ofHeads = numHeads * headDim;
    const [outputs, cols] = gathers ? [hidden, ofHeads] : [ofHeads, hidden];
    const stride = before + topK * ofHeads + 5;
    const routes = new Float32Array(rows * 2 * topK);
    for (let r = 0; r < rows; r++) {
      for (let k = 0; k < topK; k++) {
        routes[r * 2 * topK + k] = (r * r + 2 * k) % numExperts;
        routes[r * 2 * topK + topK + k] = 0.5 + k / 3;
      }
    }
    const weight = each.loadWeight([storedAs(type, gaussians(1, numExperts * outputs * cols, 0.25), cols)], type);
    const own = hasBias && gathers ? each.loadWeight([partOf(gaussians(2, numExperts * outputs), 1)], "f32") : null;
    const heads: ExpertHeads = {
      ...{ numExperts, topK, weight, headDim, gathers, bias: own },
      columns: { first: before, stride },
    };
    const scratch = { input: each.alloc(rows * topK * cols), output: each.alloc(rows * topK * outputs) };
    const x = upload(each, gaussians(3, rows * (gathers ? stride : hidden)));
    const out = upload(each, gaussians(4, rows * (gathers ? hidden : stride)));
    each.multiplyExperts(x, upload(each, routes), heads, rows, scratch, out, gathers && add);
    const values = await download(each, out);
    each.freeWeight(weight);
    return values;
  }

  describe.each(types)("heads of experts in %s", (type) => {
    it.each(HEADS)("$topK of $numExperts, $rows rows, $numHeads heads of $headDim, of $hidden", async (c) => {
      for (const gathers of [false, true]) {
        const [actual, expected] = [await headed(ops, type, c, gathers), await headed(reference, type, c, gathers)];
        expect(relativeError(actual, expected), `${gathers}`).toBeLessThan(2 * limits.linear(type, c.rows));
      }
    });
  });

  describe.each(types)("experts in %s", (type) => {
    const isOwn = (at: number): boolean => !isShared || types[Math.floor(at / 2) % types.length] === type;
    const own = EXPERTS.filter((_, at) => isOwn(at));
    it.each(own)("$topK of $numExperts, $rows rows, $cols to $width to $outputs", async (c) => {
      const [actual, expected] = [await mixed(ops, type, c), await mixed(reference, type, c)];
      // Two products follow each other.
      const limit = 4 * Math.max(limits.linear(type, c.rows), isPlain(weightFormat(type)) ? 0 : limits.linear("q8", 1));
      expect(relativeError(actual, expected)).toBeLessThan(limit);
    });
  });
}
