/**
 * @file The KV codecs there are. A new one is a folder beside this file and two lines here: its sides and itself. Specs, layouts,
 * plans, the reference backend and the refusal by a backend that has no part for it follow.
 */
import { assert, TurboQuantError } from "../../errors.ts";
import { type BlockSide, blockCodec } from "./block/block-codec.ts";
import { type ChannelSide, channelCodec } from "./channel/channel-codec.ts";
import { type FloatSide, floatCodec } from "./float/float-codec.ts";
import { type ScalarSide, scalarCodec } from "./scalar/scalar-codec.ts";
import type { AnySide, SideCodec } from "./side-codec.ts";
import type { SideSpec } from "./side-spec.ts";
import { type SketchSide, sketchCodec } from "./sketch/sketch-codec.ts";
import { type TrellisSide, trellisCodec } from "./trellis/trellis-codec.ts";

/** What K or V of a layer is stored as. */
export type SideFormat = FloatSide | ScalarSide | TrellisSide | SketchSide | BlockSide | ChannelSide;

const codecs = new Map<string, SideCodec<SideFormat>>();

/** @throws TurboQuantError invalid_argument — a codec of this kind is there already */
export function registerCodec<S extends AnySide>(codec: SideCodec<S>): void {
  if (codecs.has(codec.kind)) {
    throw new TurboQuantError("invalid_argument", `KV codecs: a codec ${codec.kind} is registered already`);
  }
  // It is only ever given sides of its own kind: those that its `sideOf` made.
  codecs.set(codec.kind, codec as unknown as SideCodec<SideFormat>);
}

// In this order messages list what they add to specs.
registerCodec(floatCodec);
registerCodec(scalarCodec);
registerCodec(trellisCodec);
registerCodec(sketchCodec);
registerCodec(blockCodec);
registerCodec(channelCodec);

/** The codec that a side belongs to. */
export function codecOf(side: AnySide): SideCodec<SideFormat> {
  const codec = codecs.get(side.kind);
  assert(codec, `no KV codec ${side.kind} is registered`);
  return codec;
}

export const allCodecs = (): readonly SideCodec<SideFormat>[] => [...codecs.values()];

/** The side that a spec means: of the one codec that knows its type. */
export function sideOf(spec: SideSpec): SideFormat {
  for (const codec of codecs.values()) {
    const side = codec.sideOf(spec);
    if (side) return side;
  }
  throw new TurboQuantError("internal", `no KV codec knows the type ${spec.type}`, { type: spec.type });
}

/** As tables call the type of what is stored: f16, tq4. */
export const typeOf = (side: AnySide): string => codecOf(side).typeOf(side as SideFormat);

/** As messages and labels call it. */
export const nameOf = (side: AnySide): string => codecOf(side).nameOf(side as SideFormat);

export const isFloat = (side: AnySide): boolean => codecOf(side).isFloat;

/** Whether its tokens are stored a page at a time. */
export const isWholePage = (side: AnySide): boolean => codecOf(side).storePage !== undefined;
