/** @file Which KV codecs a backend has kernels for. The kernels are elsewhere, because backends are asked before they are opened. */
import { TurboQuantError } from "../errors.ts";
import { nameOf } from "../quant/codecs/registry.ts";
import type { AnySide } from "../quant/codecs/side-codec.ts";
import type { LayerKvFormat } from "../quant/kv-format.ts";

interface KindSupport<S extends AnySide> {
  /** Types of the codec, as a refusal of others lists them; empty when another codec's types cover them. */
  readonly types: string;
  /** Whether a side of this kind has no kernels; absent: all of them have. */
  lacks?(side: S): boolean;
}

export class KvSupport {
  readonly #backend: string;
  readonly #other: string;
  readonly #kinds = new Map<string, KindSupport<AnySide>>();

  /** other: what a refusal advises to use instead */
  constructor(backend: string, other: string) {
    this.#backend = backend;
    this.#other = other;
  }

  add<S extends AnySide>(kind: S["kind"], support: KindSupport<S>): void {
    // A rule is only asked about sides of its own kind.
    this.#kinds.set(kind, support as unknown as KindSupport<AnySide>);
  }

  has(kind: string): boolean {
    return this.#kinds.has(kind);
  }

  /** @throws TurboQuantError unsupported — no kernels for a side, or for that of a tier; says what to choose instead */
  check({ k, v, tiers = [] }: Pick<LayerKvFormat, "k" | "v" | "tiers">): void {
    for (const side of [{ k, v }, ...tiers].flatMap((of) => [of.k, of.v])) {
      const support = this.#kinds.get(side.kind);
      if (support && !support.lacks?.(side)) continue;
      const types = [...this.#kinds.values()].map((each) => each.types).filter((text) => text !== "");
      throw new TurboQuantError(
        "unsupported",
        `--kv ${nameOf(side)}: the ${this.#backend} backend has no kernel for it; choose ${types.join(", ")}, or --backend ${this.#other}`,
      );
    }
  }
}
