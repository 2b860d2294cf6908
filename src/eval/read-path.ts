/**
 * @file Proves that attention reads the packed pages, on a sequence that an evaluation has just fed.
 *
 * Other implementations of such codecs were measured on a 16-bit copy that they kept besides, or before anything was
 * compressed. So this module checks two things. The pages of the sequence are counted: there must be no finer row outside
 * sinks and window. And the codes and scales of K and V in every layer are changed where they are stored: each change must
 * change the next token's logits, and restoring the bytes must restore the logits bit for bit.
 */
import { firstKey } from "../backends/attention-layer.ts";
import type { BlockTable } from "../cache/block-table.ts";
import type { Sequence } from "../cache/sequence.ts";
import { TurboQuantError } from "../errors.ts";
import { isFloat } from "../quant/codecs/registry.ts";
import type { LayerKvFormat } from "../quant/kv-format.ts";
import type { PageLayout, Region, SideLayout } from "../quant/page-layout.ts";
import type { Contender } from "./compare.ts";

/**
 * - `packed`: attention reads codes, proven by changing them
 * - `window`: the format has codes, but the text is so short that sinks and window cover all tokens
 * - `float`: the format has no codes
 */
export type ReadPath = "packed" | "window" | "float";

type Side = "k" | "v";

/** Arrays of one side that go by one name, and the bits to flip in them. */
interface Target {
  readonly name: string;
  readonly regions: readonly Region[];
  /** XORed into every u16: all bits of codes, or the sign of an f16. */
  readonly mask: number;
}

function targetsOf({ planes, scales }: SideLayout): Target[] {
  const targets = (regions: readonly Region[], mask: number): Target[] =>
    [...new Set(regions.map(({ name }) => name))].map((name) => ({
      name,
      regions: regions.filter((region) => region.name === name),
      mask,
    }));
  return [...targets(planes, 0xffff), ...targets(scales, 0x8000)];
}

/** A copy of the page with the target's regions changed, for all heads and rows. */
function flipped(page: Uint8Array, layout: PageLayout, { regions, mask }: Target): Uint8Array {
  const changed = page.slice();
  for (const { offset, headStride } of regions) {
    for (let head = 0; head < layout.numKvHeads; head++) {
      const start = offset + head * headStride;
      for (let i = 0; i < headStride; i++) {
        changed[start + i] = changed[start + i]! ^ (i % 2 === 0 ? mask & 0xff : mask >> 8);
      }
    }
  }
  return changed;
}

/** Indices of main pages in which the query at position `last` reads codes of earlier tokens, from `firstRead` on, the most recent page first. */
function pagesReadAsCodes(
  format: LayerKvFormat,
  layout: PageLayout,
  firstRead: number,
  hasResidual: boolean,
  last: number,
) {
  const from = Math.max(hasResidual ? format.sinks : 0, firstRead);
  const to = Math.min(last - 1, hasResidual ? last - format.window : last - 1);
  const pages: number[] = [];
  for (
    let page = Math.floor(to / layout.pageTokens);
    page >= 0 && page * layout.pageTokens + layout.pageTokens > from;
    page--
  )
    if (to >= from) pages.push(page);
  return pages;
}

function fail(what: string, detail: Record<string, unknown>): never {
  throw new TurboQuantError(
    "internal",
    `eval: read path: ${what}; the figures would not be those of this format, please report it with the model and --backend`,
    detail,
  );
}

/** Throws when a layer with codes has pages of finer rows outside sinks and window, or when there are pages that no layer explains. */
export function assertNoHiddenCopies({ cache }: Contender, sequence: Sequence, kv: string): void {
  for (const [layer, { residual, format, main }] of cache.layers.entries()) {
    const state = sequence.kv(layer);
    for (const [tier] of state.tiers.entries()) {
      const finer = state.tiers[tier - 1] ?? state.main;
      const left = finer
        .entries()
        .findIndex((address, page) => address !== 0 && page < state.tierPages(tier, sequence.length));
      if (left < 0) continue;
      fail(`${kv}: layer ${layer} keeps finer codes of tokens from ${left * main.pageTokens} on`, { layer });
    }
    if (!residual) continue;
    const keepFrom = Math.max(0, sequence.length - format.window);
    sequence
      .residual(layer)
      .entries()
      .forEach((address, page) => {
        const first = page * residual.layout.pageTokens;
        const isSink = first < format.sinks;
        const isWindow = format.window > 0 && first + residual.layout.pageTokens > keepFrom;
        if (address && !isSink && !isWindow) {
          fail(
            `${kv}: layer ${layer} keeps ${format.windowBits ?? 16}-bit rows of tokens ${first} to ${first + residual.layout.pageTokens - 1}`,
            {
              layer,
            },
          );
        }
      });
  }
  if (cache.numBytes !== sequence.numBytes) {
    fail(`${kv}: pages take ${cache.numBytes} bytes, those of the sequence are ${sequence.numBytes}`, {
      allocated: cache.numBytes,
      accounted: sequence.numBytes,
    });
  }
}

/**
 * Checks the finished `sequence` of a contender, and leaves it as it was.
 *
 * lastToken: the token at its last position · kv: the format's name, for the message
 * @throws TurboQuantError internal — attention did not read a stored byte, or a 16-bit copy exists that should not
 */
export async function checkReadPath(
  contender: Contender,
  sequence: Sequence,
  lastToken: number,
  kv: string,
  signal?: AbortSignal,
): Promise<ReadPath> {
  const { runner, cache } = contender;
  assertNoHiddenCopies(contender, sequence, kv);
  // A state of fixed size does not go back by one token, so there the last token is read once more behind itself.
  const last = sequence.numRecurrent > 0 ? sequence.length : sequence.length - 1;
  /** Computes the logits of the last token at position `last`, from the pages as they are now. */
  const logitsNow = async (): Promise<Float32Array> => {
    signal?.throwIfAborted();
    const fork = sequence.fork();
    try {
      if (last < fork.length) fork.trim(last);
      return await runner.step([{ sequence: fork, tokens: [lastToken], logits: "last" }]);
    } finally {
      fork.release();
    }
  };
  const before = last > 0 ? await logitsNow() : new Float32Array(0);
  let hasCodes = false;
  let probes = 0;
  for (const [layer, { main, residual, format, tiers }] of cache.layers.entries()) {
    const state = sequence.kv(layer);
    const all = [
      { layout: main, table: state.main },
      ...tiers.map(({ layout }, i) => ({ layout, table: state.tiers[i]! })),
    ];
    const firstRead = firstKey(runner.decoder.attentionLayer(layer), last);
    for (const side of ["k", "v"] satisfies Side[]) {
      if (isFloat(main[side].side)) continue;
      hasCodes = true;
      const read = pagesReadAsCodes(format, main, firstRead, residual !== null, last);
      for (const held of all) {
        // A page is in the table of one tier.
        const pages = read.filter((page) => held.table.get(page) !== 0);
        if (pages.length === 0) continue;
        for (const target of targetsOf(held.layout[side])) {
          // Changing the newest page is usually enough. In a layer that attends
          // little to the past it may take all pages to show a difference.
          const moved =
            (await changesLogits(pages.slice(0, 1), target, held, layer)) ||
            (await changesLogits(pages, target, held, layer));
          if (!moved) {
            fail(
              `${kv}: layer ${layer}: changing the ${target.name} of ${side.toUpperCase()} does not change the next logits`,
              {
                layer,
                side,
                target: target.name,
              },
            );
          }
          probes++;
        }
      }
    }
  }
  if (probes > 0 && !isEqual(await logitsNow(), before)) fail(`${kv}: the same pages give other logits`, {});
  return probes > 0 ? "packed" : hasCodes ? "window" : "float";

  /** Whether changing these pages changes the logits. Their bytes are restored. */
  async function changesLogits(
    pages: readonly number[],
    target: Target,
    { layout, table }: { readonly layout: PageLayout; readonly table: BlockTable },
    layer: number,
  ): Promise<boolean> {
    const saved: { address: number; bytes: Uint8Array }[] = [];
    const { pool } = sequence.kv(layer);
    try {
      for (const page of pages) {
        const address = table.get(page);
        const bytes = await pool.storage.read(address, layout.numBytes);
        saved.push({ address, bytes });
        pool.storage.write(address, flipped(bytes, layout, target));
      }
      return !isEqual(await logitsNow(), before);
    } finally {
      for (const { address, bytes } of saved) pool.storage.write(address, bytes);
    }
  }
}

function isEqual(a: Float32Array, b: Float32Array): boolean {
  return a.length === b.length && a.every((value, i) => value === b[i]);
}
