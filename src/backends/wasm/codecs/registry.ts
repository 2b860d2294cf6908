/** @file What the WASM backend needs of each KV codec that support.ts lists. */
import type { BlockSide } from "../../../quant/codecs/block/block-codec.ts";
import type { ChannelSide } from "../../../quant/codecs/channel/channel-codec.ts";
import type { FloatSide } from "../../../quant/codecs/float/float-codec.ts";
import type { AnySide } from "../../../quant/codecs/side-codec.ts";
import { CodecParts } from "../../codec-parts.ts";
import { SIDE_TYPES } from "../../parameters/attention.ts";
import { scalar, sketch, trellis } from "./codes.ts";
import { wasmSupport } from "./support.ts";
import type { WasmCodec } from "./wasm-codec.ts";

export const wasmCodecs = new CodecParts<WasmCodec>(wasmSupport);

/** @throws TurboQuantError invalid_argument — this kind is already registered */
function registerWasmCodec<S extends AnySide>(kind: S["kind"], part: WasmCodec<S>): void {
  // A part only gets sides of its own kind.
  wasmCodecs.register(kind, part as unknown as WasmCodec);
}

registerWasmCodec<FloatSide>("float", {
  typeCode: ({ bits }) => (bits === 16 ? SIDE_TYPES.f16 : SIDE_TYPES.f32),
  isRowInvariant: false,
});
registerWasmCodec("scalar", scalar);
registerWasmCodec("trellis", trellis);
registerWasmCodec("sketch", sketch);
registerWasmCodec<BlockSide>("block", {
  typeCode: ({ bits }) => (bits === 8 ? SIDE_TYPES.q8_0 : SIDE_TYPES.q4_0),
  isRowInvariant: false,
});
registerWasmCodec<ChannelSide>("channel", {
  typeCode: ({ bits }) => SIDE_TYPES.kivi + bits,
  isRowInvariant: false,
});
