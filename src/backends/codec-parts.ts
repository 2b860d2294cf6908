/** @file The parts that a backend has for the KV codecs: one for each kind of side that it stores and reads. */
import { assert, TurboQuantError } from "../errors.ts";
import type { SideFormat } from "../quant/codecs/registry.ts";
import type { AnySide } from "../quant/codecs/side-codec.ts";
import type { KvSupport } from "./kv-support.ts";

/** P: the part for any side */
export class CodecParts<P> {
  readonly #support: KvSupport;
  readonly #parts = new Map<string, P>();

  constructor(support: KvSupport) {
    this.#support = support;
  }

  /**
   * part: for sides of this kind alone, which is all that it is given · types: as a refusal of others lists them
   * @throws TurboQuantError invalid_argument — there is a part for this kind already
   */
  register(kind: string, part: P, types = kind): void {
    if (this.#parts.has(kind)) {
      throw new TurboQuantError("invalid_argument", `KV codecs: there is a part for ${kind} already`);
    }
    this.#parts.set(kind, part);
    if (!this.#support.has(kind)) this.#support.add<AnySide>(kind, { types });
  }

  /** @throws TurboQuantError unsupported — there are no kernels for this side */
  of(side: SideFormat): P {
    const part = this.#parts.get(side.kind);
    if (!part) this.#support.check({ k: side, v: side });
    assert(part, `no part for ${side.kind}`);
    return part;
  }
}
