/** @file The sign code on WebGPU: signs are read from their bits without a table, and stored by the frame's own arrays. */
import { halfText } from "../../../src/backends/webgpu/codec/place-text.ts";
import { packText, storedRowText } from "../../../src/backends/webgpu/codec/store-text.ts";
import { fieldText } from "../../../src/backends/webgpu/codec/table-text.ts";
import type { WgslCodec } from "../../../src/backends/webgpu/codec/wgsl-codec.ts";
import { floatText } from "../../../src/backends/webgpu/queue/shader-text.ts";
import type { SignSide } from "./sign-codec.ts";

export const signText: WgslCodec<SignSide> = {
  isBounded: true,
  pairs(_, { half }, [word]) {
    const type = half ? "f16" : "f32";
    const value = (i: number): string => `${type}(${fieldText(word!.low, word!.shift + i, 1, 1)}) - 1.0`;
    return [0, 2, 4, 6].map((i) => `vec2<${type}>(${value(i)}, ${value(i + 1)})`);
  },
  rowFactor: ({ scales }, place, words) => halfText(words, scales[0]!, place),
  store: ({ name, headDim, layout }) => `
fn store_${name}(page: u32, head: u32, slot: u32, l: u32) {
  for (var i = l; i < HEAD_DIM; i += THREADS) {
    codes[i] = select(0u, 1u, xs[i] >= 0.0);
  }
  workgroupBarrier();
  if (l == 0u) {
    var sum = 0.0;
    for (var i = 0u; i < HEAD_DIM; i++) {
      sum = sum + abs(xs[i]);
    }
    put_main(${storedRowText(layout.scales[0]!)}, f16_bits(min(MAX_FLOAT16, sum * ${floatText(1 / headDim)})), 0xffffu);
  }
  ${packText(layout, 1)}
}`,
};
