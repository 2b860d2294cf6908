/** @file The codec as a library without dependencies: codebooks, rotations, TurboQuant_mse and _prod, packing, KV formats and pages. */
export type { BlockCode } from "./baselines/blocks.ts";
export { KIVI_GROUP, type KiviCode, KiviCodec } from "./baselines/kivi.ts";
export { RotatedQ4Codec, type RotatedQ4Options } from "./baselines/q4-0-rotated.ts";
export { Q8Codec } from "./baselines/q8-0.ts";
export { packCodes, planeWidths, unpackCodes } from "./bit-pack.ts";
export type { LayerCalibration } from "./calibration.ts";
export { type Codebook, getCodebook } from "./codebook.ts";
export { codecOf, registerCodec } from "./codecs/registry.ts";
export type { AnySide, Recipe, Shaping, SideCodec, StoredRows } from "./codecs/side-codec.ts";
export type { SideSpec, SideSyntax } from "./codecs/side-spec.ts";
export type { Bits, LayerKvFormat, RotationKind, ScaleRule, SideFormat, Tier } from "./kv-format.ts";
export {
  bitsPerValue,
  PAGE_TOKENS,
  type PageLayout,
  type Plane,
  pageLayout,
  RESIDUAL_PAGE_TOKENS,
  type Region,
  type SideLayout,
} from "./page-layout.ts";
export { type KvSpec, parseKvSpec } from "./parse-kv-spec.ts";
export { type Projection, projectionMatrix, sketchFactor } from "./qjl.ts";
export { createRotation, type Rotation } from "./rotation.ts";
export { type HeadCalibration, RowCodec } from "./row-codec.ts";
export { type MseCode, TurboQuantMse, type TurboQuantMseOptions } from "./turboquant-mse.ts";
export { type PreparedQuery, type ProdCode, TurboQuantProd, type TurboQuantProdOptions } from "./turboquant-prod.ts";
export { VectorQuantizer } from "./vector-quantizer.ts";
