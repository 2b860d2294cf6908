/**
 * @file The registry of KV codecs. A new codec is a folder beside this file and its name in `CODECS`.
 * Specs, layouts, plans, the reference backend, and the refusal by backends without kernels for it all follow from that.
 */
import { assert, TurboQuantError } from "../../errors.ts";
import { affineCodec } from "./affine/affine-codec.ts";
import { blockCodec } from "./block/block-codec.ts";
import { channelCodec } from "./channel/channel-codec.ts";
import { floatCodec } from "./float/float-codec.ts";
import { fp4Codec } from "./fp4/fp4-codec.ts";
import { scalarCodec } from "./scalar/scalar-codec.ts";
import type { AnySide, SideCodec } from "./side-codec.ts";
import type { SideSpec } from "./side-spec.ts";
import { sketchCodec } from "./sketch/sketch-codec.ts";
import { tileCodec } from "./tile/tile-codec.ts";
import { trellisCodec } from "./trellis/trellis-codec.ts";

/** In the order in which messages list what codecs add to specs. */
const CODECS = [
  floatCodec,
  scalarCodec,
  trellisCodec,
  sketchCodec,
  blockCodec,
  channelCodec,
  affineCodec,
  fp4Codec,
  tileCodec,
] as const;

/** How K or V of a layer is stored: a side that one of the codecs makes. */
export type SideFormat = NonNullable<ReturnType<(typeof CODECS)[number]["sideOf"]>>;

const codecs = new Map<string, SideCodec<SideFormat>>();

/** @throws TurboQuantError invalid_argument — a codec of this kind is already registered */
export function registerCodec<S extends AnySide>(codec: SideCodec<S>): void {
  if (codecs.has(codec.kind)) {
    throw new TurboQuantError("invalid_argument", `KV codecs: a codec ${codec.kind} is registered already`);
  }
  // A codec only gets sides of its own kind, which its `sideOf` made.
  codecs.set(codec.kind, codec as unknown as SideCodec<SideFormat>);
}

for (const codec of CODECS) registerCodec<AnySide>(codec);

/** The codec that a side belongs to. */
export function codecOf(side: AnySide): SideCodec<SideFormat> {
  const codec = codecs.get(side.kind);
  assert(codec, `no KV codec ${side.kind} is registered`);
  return codec;
}

export const allCodecs = (): readonly SideCodec<SideFormat>[] => [...codecs.values()];

/** The side that a spec means, made by the one codec that knows its type. */
export function sideOf(spec: SideSpec): SideFormat {
  for (const codec of codecs.values()) {
    const side = codec.sideOf(spec);
    if (side) return side;
  }
  throw new TurboQuantError("internal", `no KV codec knows the type ${spec.type}`, { type: spec.type });
}

/** The type of what is stored, as tables show it: f16, tq4. */
export const typeOf = (side: AnySide): string => codecOf(side).typeOf(side as SideFormat);

/** The name of the side in messages and labels. */
export const nameOf = (side: AnySide): string => codecOf(side).nameOf(side as SideFormat);

export const isFloat = (side: AnySide): boolean => codecOf(side).isFloat;

/** Whether tokens are stored page by page instead of row by row. */
export const isWholePage = (side: AnySide): boolean => codecOf(side).storePage !== undefined;
