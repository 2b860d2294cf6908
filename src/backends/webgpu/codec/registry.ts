/** @file The WGSL of the KV codecs that support.ts lists. A new one is a file beside this and a line here. */
import type { SideFormat } from "../../../quant/codecs/registry.ts";
import type { AnySide } from "../../../quant/codecs/side-codec.ts";
import { CodecParts } from "../../codec-parts.ts";
import { blocks } from "./block-text.ts";
import { floats } from "./float-text.ts";
import { scalars } from "./scalar-text.ts";
import { wgslSupport } from "./support.ts";
import { chains } from "./trellis-text.ts";
import type { WgslCodec } from "./wgsl-codec.ts";

export const wgslCodecs = new CodecParts<WgslCodec>(wgslSupport);

/** @throws TurboQuantError invalid_argument — there is a part for this kind already */
export function registerWgslCodec<S extends AnySide>(kind: S["kind"], part: WgslCodec<S>): void {
  // It is only ever given sides of its kind.
  wgslCodecs.register(kind, part as unknown as WgslCodec);
}

/** Words of `codes` for a coordinate, in a kernel that stores rows of these sides. */
export const mostCodeWords = (sides: readonly SideFormat[]): number =>
  Math.max(...sides.map((side) => wgslCodecs.of(side).codeWords?.(side) ?? 1));

registerWgslCodec("scalar", scalars);
registerWgslCodec("trellis", chains);
registerWgslCodec("block", blocks);
registerWgslCodec("float", floats);
