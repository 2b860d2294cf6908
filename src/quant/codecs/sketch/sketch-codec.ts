/**
 * @file TurboQuant_prod: scalar codes with one bit less, and a 1-bit QJL sketch of the residual with its norm, which makes
 * inner products unbiased. Only for keys.
 */
import { dot4 } from "../../../math/dot.ts";
import { fromFloat16Bits, toFloat16Bits } from "../../../math/float16.ts";
import { packPlane, unpackPlane } from "../../bit-pack.ts";
import { getCodebook } from "../../codebook.ts";
import { type PageRegions, rowAt } from "../../page-regions.ts";
import { MAX_PROJECTIONS, projectionMatrix, sketchFactor } from "../../qjl.ts";
import type { Bits, ScaleRule } from "../../rules.ts";
import { MAX_FLOAT16 } from "../../sanitize.ts";
import { VectorQuantizer } from "../../vector-quantizer.ts";
import { planesOf, readCodes, viewOf, writeCodes } from "../code-planes.ts";
import { turboQuantBits } from "../scalar/turboquant-spec.ts";
import type { SideCodec, StoredRows } from "../side-codec.ts";
import { failSpec, parseCount, plainSpec, type SideModifier, type SideSpec, type SideSyntax } from "../side-spec.ts";

/**
 * Fields as in `ScalarSide`. The sketch describes what plain rounding leaves, so a calibration's transform and feedback are not used.
 */
export interface SketchSide {
  readonly kind: "sketch";
  /** Bits of a code, without the sign of the sketch. */
  readonly bits: Bits;
  readonly scale: ScaleRule;
  readonly search: boolean;
  /** Rows of the sketch, a multiple of 8 from 8 to 512; absent: head_dim. */
  readonly projections?: number;
  readonly codebookIterations?: number;
}

/**
 * A key type in which one bit is a sketch. Its codes are the nearest ones
 * with the published scale, because the sketch refers to their residual.
 */
function withSketch(side: "k" | "v", type: string, like: SideSpec): SideSpec {
  const bits = turboQuantBits(type);
  if (side === "v" || !bits || bits < 2)
    failSpec(`${side}${type.replace("tq", "")}+qjl: expected k2+qjl to k8+qjl; only keys carry a sketch`, { type });
  return { ...like, type: `tq${bits - 1}`, scale: "norm", feedback: false, qjl: true };
}

const syntax: SideSyntax = {
  types: [],
  parseType(text, side, like) {
    return text.endsWith("+qjl") ? withSketch(side, text.slice(0, -"+qjl".length), like) : null;
  },
  presets: ["paper-N+qjl"],
  examples: ["paper-4+qjl"],
  parsePreset(text) {
    const bits = Number(/^paper-([1-8])\+qjl$/.exec(text)?.[1] ?? 0);
    if (bits === 0) return null;
    if (bits < 2) failSpec("paper-1+qjl has no bits left for codes; QJL takes one of them, so ask for 2 or more");
    return { k: { ...plainSpec(`tq${bits - 1}`), qjl: true }, v: plainSpec(`tq${bits}`) };
  },
};

const qjl: SideModifier = {
  name: "qjl",
  parse(value, sides) {
    const projections = parseCount("qjl", value, MAX_PROJECTIONS);
    if (projections < 8 || projections % 8 !== 0) {
      failSpec(`qjl=${value}: expected a multiple of 8 from 8 to ${MAX_PROJECTIONS}, the projections of the sketch`, {
        qjl: value,
      });
    }
    if (!sides.some((side) => side.qjl)) {
      failSpec(`qjl=${value}: expected a preset with a sketch; choose paper-N+qjl`, { qjl: value });
    }
    return (spec) => (spec.qjl ? { projections } : {});
  },
};

class SketchRows implements StoredRows {
  readonly #quantizer: VectorQuantizer;
  /** Centroids for a unit vector. */
  readonly #centroids: ArrayLike<number>;
  /** [numProjections][headDim] */
  readonly #projection: Float32Array;
  readonly #numProjections: number;
  readonly #codes: Uint8Array;
  /** Signs of the sketch, one in a byte. */
  readonly #signs: Uint8Array;
  readonly #residual: Float32Array;

  constructor({ bits, scale, search, codebookIterations, projections }: SketchSide, headDim: number, seed: number) {
    this.#quantizer = new VectorQuantizer(headDim, bits, scale, search, codebookIterations);
    this.#centroids = getCodebook(headDim, bits, codebookIterations).centroids;
    this.#numProjections = projections ?? headDim;
    this.#projection = projectionMatrix("gaussian", headDim, seed, this.#numProjections);
    this.#codes = new Uint8Array(headDim);
    this.#signs = new Uint8Array(this.#numProjections);
    this.#residual = new Float32Array(headDim);
  }

  write(x: Float32Array, page: Uint8Array, layout: PageRegions, side: "k" | "v", head: number, row: number): void {
    const { planes, scales } = layout[side];
    const quantizer = this.#quantizer;
    const { scale, norm } = quantizer.quantize(x);
    writeCodes(quantizer.codes, quantizer.bits, page, planes, head, row);
    const view = viewOf(page);
    view.setUint16(rowAt(scales[0]!, head, row), toFloat16Bits(scale), true);
    const d = x.length;
    const r = this.#residual;
    for (let i = 0; i < d; i++) r[i] = quantizer.scaledInput[i]! - quantizer.centroids[i]!;
    const m = this.#numProjections;
    for (let i = 0; i < m; i++) this.#signs[i] = dot4(this.#projection, i * d, r, 0, d) >= 0 ? 1 : 0;
    packPlane(this.#signs, m, 1, 0, page, rowAt(planes.at(-1)!, head, row));
    const length = Math.fround(Math.fround(Math.sqrt(dot4(r, 0, r, 0, d))) / Math.fround(Math.sqrt(d)));
    view.setUint16(rowAt(scales[1]!, head, row), toFloat16Bits(Math.min(MAX_FLOAT16, norm * length)), true);
  }

  /** Adds √(π/2)/m · ‖r‖ · Sᵀz to the codes' vector, which gives the unbiased reconstruction. */
  read(page: Uint8Array, layout: PageRegions, side: "k" | "v", head: number, row: number, out: Float32Array): void {
    const { planes, scales } = layout[side];
    const view = viewOf(page);
    readCodes(this.#codes, this.#quantizer.bits, page, planes, head, row);
    const scale = fromFloat16Bits(view.getUint16(rowAt(scales[0]!, head, row), true));
    const d = out.length;
    for (let i = 0; i < d; i++) out[i] = scale * this.#centroids[this.#codes[i]!]!;
    const m = this.#numProjections;
    const z = this.#signs.fill(0);
    unpackPlane(page, rowAt(planes.at(-1)!, head, row), m, 1, 0, z);
    const norm = fromFloat16Bits(view.getUint16(rowAt(scales[1]!, head, row), true));
    const factor = sketchFactor("gaussian", d, m) * norm;
    for (let i = 0; i < m; i++) {
      const signed = z[i] ? factor : -factor;
      for (let j = 0; j < d; j++) out[j] = out[j]! + signed * this.#projection[i * d + j]!;
    }
  }
}

export const sketchCodec: SideCodec<SketchSide> = {
  kind: "sketch",
  syntax,
  modifiers: [qjl],
  sideOf(spec) {
    const bits = turboQuantBits(spec.type);
    if (!bits || !spec.qjl) return null;
    const { scale, search, projections, codebookIterations } = spec;
    return {
      kind: "sketch",
      bits,
      scale,
      search,
      ...(projections !== undefined && { projections }),
      ...(codebookIterations !== undefined && { codebookIterations }),
    };
  },
  typeOf: ({ bits }) => `tq${bits}`,
  nameOf: ({ bits }) => `tq${bits}+qjl`,
  isFloat: false,
  bitsOf: ({ bits }) => bits + 1,
  isRotated: () => true,
  largestOf: () => MAX_FLOAT16,
  regionsOf: ({ bits, projections }, { headDim }) => ({
    planes: [...planesOf(bits, headDim), { name: "sketch", width: 1, rowBytes: (projections ?? headDim) / 8 }],
    scales: [
      { name: "scales", rowBytes: 2 },
      { name: "sketch norms", rowBytes: 2 },
    ],
  }),
  rowsOf: (side, headDim, seed) => new SketchRows(side, headDim, seed),
  recipeOf: ({ scale, search }) => ({ scale, search, hasSketch: true }),
  // Distortion of inner products: arXiv 2504.19874, theorem 2.
  distortionOf: ({ bits }, headDim) => (Math.PI / 2) * getCodebook(headDim, bits).distortion,
};
