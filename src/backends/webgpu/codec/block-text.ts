/** @file WGSL of q8_0 and q4_0r: integers around a zero point, one f16 scale for each 32 coordinates. */
import { BLOCK } from "../../../quant/baselines/blocks.ts";
import { Q4_ZERO } from "../../../quant/baselines/q4-0-rotated.ts";
import { Q8_ZERO } from "../../../quant/baselines/q8-0.ts";
import type { BlockSide } from "../../../quant/codecs/block/block-codec.ts";
import { halfText } from "./place-text.ts";
import { packText, storedRowText } from "./store-text.ts";
import { fieldText, type UnitWord } from "./table-text.ts";
import type { WgslCodec } from "./wgsl-codec.ts";

/** Integers around `zero`, not yet multiplied by their block's scale. */
function blockPairs({ low, high, shift }: UnitWord, width: number, zero: number): string[] {
  const value = (i: number): string => {
    const isHigh = width === 8 && i >= 4;
    const field = fieldText(isHigh ? high! : low, isHigh ? width * (i - 4) : shift + width * i, width, 0);
    return `f32(${field}) - ${zero}.0`;
  };
  return [0, 1, 2, 3].map((pair) => `vec2f(${value(2 * pair)}, ${value(2 * pair + 1)})`);
}

export const blocks: WgslCodec<BlockSide> = {
  isBounded: false,
  pairs: ({ bits }, _, [word]) => blockPairs(word!, bits, bits === 8 ? Q8_ZERO : Q4_ZERO),
  blockFactor: ({ scales }, place, unit, words) => halfText(words, scales[0]!, place, ` + ${unit} / 4u * 2u`),
  store({ name, side: { bits }, layout }) {
    const isQ8 = bits === 8;
    return `
fn store_${name}(page: u32, head: u32, slot: u32, l: u32) {
  let start = l * ${BLOCK}u;
  if (start < HEAD_DIM) {
    let end = min(start + ${BLOCK}u, HEAD_DIM);
    var extreme = 0.0;
    for (var i = start; i < end; i++) {
      if (abs(xs[i]) > abs(extreme)) {
        extreme = xs[i];
      }
    }
    ${isQ8 ? "let top = abs(extreme); let scale = quotient(top, 127.0);" : "let scale = extreme / -8.0;"}
    var inverse = 0.0;
    if (extreme != 0.0) {
      inverse = ${isQ8 ? "quotient(127.0, top)" : "quotient(-8.0, extreme)"};
    }
    for (var i = start; i < end; i++) {
      codes[i] = ${isQ8 ? "u32(round(xs[i] * inverse) + 128.0)" : "u32(min(15.0, floor(rounded(xs[i] * inverse) + 8.5)))"};
    }
    put_main(${storedRowText(layout.scales[0]!)} + 2u * l, f16_bits(scale), 0xffffu);
  }
  workgroupBarrier();
  ${packText(layout, bits)}
}`;
  },
};
