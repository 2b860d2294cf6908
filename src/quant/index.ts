/** @file The codec alone: codebooks, rotations, TurboQuant_mse and _prod, packing, KV formats and pages. No dependencies. */
export type { BlockCode } from "./baselines/blocks.ts";
export { type KiviCode, KiviCodec } from "./baselines/kivi.ts";
export { RotatedQ4Codec, type RotatedQ4Options } from "./baselines/q4-0-rotated.ts";
export { Q8Codec } from "./baselines/q8-0.ts";
export { packCodes, unpackCodes } from "./bit-pack.ts";
export type { LayerCalibration } from "./calibration.ts";
export { type Codebook, getCodebook } from "./codebook.ts";
export type { Bits, KvType, LayerKvFormat, RotationKind, ScaleRule, SideFormat } from "./kv-format.ts";
export {
  bitsPerValue,
  codeBits,
  KIVI_GROUP,
  PAGE_TOKENS,
  type PageLayout,
  type Plane,
  pageLayout,
  planeWidths,
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
