/** @file WGSL of rows of f16 and f32. Readers take them as they lie (read-text.ts). */
import type { FloatSide } from "../../../quant/codecs/float/float-codec.ts";
import { storedRowText } from "./store-text.ts";
import type { WgslCodec } from "./wgsl-codec.ts";

export const floats: WgslCodec<FloatSide> = {
  isBounded: false,
  store({ name, side: { bits }, layout }) {
    const wide = bits === 32;
    return `
fn store_${name}(page: u32, head: u32, slot: u32, l: u32) {
  let at = (${storedRowText(layout.planes[0]!)}) / 4u;
  for (var i = l; i < HEAD_DIM / ${wide ? 1 : 2}u; i += THREADS) {
    atomicStore(&pages[at + i], ${wide ? "bitcast<u32>(xs[i])" : "f16_bits(xs[2u * i]) | (f16_bits(xs[2u * i + 1u]) << 16u)"});
  }
}`;
  },
};
