/**
 * @file Parses `tiers=8:128,4:4096,3`: the newest 128 tokens in 8 bits, the next 4,096 in codes of 4 bits, all older ones in codes of 3.
 *
 * `auto` in place of a number of tokens means as many as there is memory for: such pages grow coarser when memory is short, and not by age.
 * A first tier of 8 or 16 bits and so many tokens is the residual window. What follows are codes of our recipe, which a page leaves for those of the next tier
 * when all of its tokens are old enough.
 */
import { turboQuantSyntax } from "./codecs/scalar/turboquant-spec.ts";
import { type DraftTier, failSpec, type PresetDraft, parseCount } from "./codecs/side-spec.ts";

const PREFIX = "tiers=";
const EXAMPLE = "tiers=8:128,4:4096,3";
/** Up to so many sinks take one small page, so fewer would not be smaller. */
const SINKS = 16;
const MOST_WINDOW = 65_536;
const MOST_TOKENS = 2 ** 30;
/** `Tier.after` of a tier that no page enters by its age: more than a sequence can have. */
export const NO_AGE = 2 ** 31 - 1;
const AUTO = "auto";

/** Cuts a spec at its commas, but for those between tiers, which belong to the preset. */
export function specParts(text: string): [preset: string, ...modifiers: string[]] {
  const [first = "", ...rest] = text.split(",").map((part) => part.trim());
  if (!first.startsWith(PREFIX)) return [first, ...rest];
  const end = rest.findIndex((part) => !/^(\d|k\d)/.test(part));
  const own = end < 0 ? rest : rest.slice(0, end);
  return [[first, ...own].join(","), ...rest.slice(own.length)];
}

interface Item {
  readonly text: string;
  /** Bits of keys and of values. */
  readonly widths: readonly [number, number];
  /** `auto`: as memory allows · undefined: all tokens that are left */
  readonly tokens: number | typeof AUTO | undefined;
}

function parseItem(text: string): Item {
  const match = /^(?:(\d+)|k(\d)v(\d))(?::(\d+|auto))?$/.exec(text);
  if (!match) failSpec(`tiers: "${text}" is not a tier; expected BITS:TOKENS, as in ${EXAMPLE}`, { tier: text });
  const [, both, k, v, count] = match;
  const widths = [Number(both ?? k), Number(both ?? v)] as const;
  const tokens = count === undefined || count === AUTO ? count : parseCount("tiers", count, MOST_TOKENS);
  if (tokens === 0) failSpec(`tiers: ${text} is a tier of no tokens; leave it out`, { tier: text });
  return { text, widths, tokens };
}

/** Whether a first tier is a residual window. */
const isWindow = ({ widths: [k, v], tokens }: Item): boolean =>
  typeof tokens === "number" && k === v && (k === 8 || k === 16);

function check(items: readonly Item[]): void {
  const last = items.at(-1)!;
  if (last.tokens !== undefined) {
    const [bits] = last.text.split(":");
    failSpec(`tiers: the last tier holds all older tokens; leave out its number (${bits} for ${last.text})`, {
      tier: last.text,
    });
  }
  for (const [i, { text, widths, tokens }] of items.entries()) {
    if (tokens === undefined && i < items.length - 1) {
      failSpec(
        `tiers: only the last tier goes without a number of tokens; say how many ${text} holds, as in ${text}:128`,
        {
          tier: text,
        },
      );
    }
    const most = i === 0 ? 16 : 8;
    const isUnknown = widths.some((bits) => bits < 2 || bits > most || (bits > 8 && bits !== 16));
    if (tokens === AUTO && widths[0] === 16) {
      failSpec(`tiers: ${text}: tokens in 16 bit are a window, which needs a number; say 8:auto, or 16:128`, {
        tier: text,
      });
    }
    // What is not left by age never reaches a tier that is.
    if (typeof items[i - 1]?.tokens === "string" && typeof tokens === "number") {
      failSpec(`tiers: ${text} has a number of tokens behind ${items[i - 1]!.text}; say ${text.split(":")[0]}:auto`, {
        tier: text,
      });
    }
    if (isUnknown || (Math.max(...widths) === 16 && widths[0] !== widths[1])) {
      failSpec(`tiers: ${text}: expected 2 to 8 bits, or 16 for the first tier`, { tier: text });
    }
    const before = items[i - 1];
    if (before && widths.some((bits, side) => bits >= before.widths[side]!)) {
      failSpec(
        `tiers: ${text} follows ${before.text}, but tokens only grow coarser: expected fewer bits of keys and of values; order tiers from fine to coarse, as in ${EXAMPLE}`,
        { tier: text },
      );
    }
  }
  if (items.length === 1) {
    const [k, v] = last.widths;
    const same = k === 16 ? "f16" : `k${k}v${v},sinks=${SINKS},window=0`;
    failSpec(`tiers: one tier is a format without tiers; say ${same}`, { tier: last.text });
  }
  const first = items[0]!;
  if (isWindow(first) && Number(first.tokens) > MOST_WINDOW) {
    failSpec(`tiers: ${first.text}: expected a window of 1 to ${MOST_WINDOW} tokens`, { tier: first.text });
  }
}

/** Parses a preset of tiers; null for any other text. */
export function parseTiers(preset: string): PresetDraft | null {
  if (!preset.startsWith(PREFIX)) return null;
  const items = preset.slice(PREFIX.length).split(",").map(parseItem);
  check(items);
  const window = isWindow(items[0]!) ? items[0] : undefined;
  const [youngest, ...older] = window ? items.slice(1) : items;
  const numberOf = ({ tokens }: Item): number => (tokens === AUTO ? NO_AGE : (tokens ?? 0));
  const sidesOf = ({ widths: [k, v] }: Item): PresetDraft => turboQuantSyntax.parsePreset!(`k${k}v${v}`)!;
  const newest = window ? numberOf(window) : 0;
  let after = newest + numberOf(youngest!);
  const tiers = older.map((item): DraftTier => {
    const { k, v } = sidesOf(item);
    const tier = { k, v, after: Math.min(after, NO_AGE) };
    after += numberOf(item);
    return tier;
  });
  return {
    ...sidesOf(youngest!),
    sinks: SINKS,
    window: newest,
    windowBits: items[0]!.widths.every((bits) => bits === 8) ? 8 : 16,
    ...(tiers.length > 0 && { tiers }),
  };
}

/** The preset with one way to write each tier: a width alone where both sides have it. */
export const canonicalTiers = (preset: string): string =>
  preset.startsWith(PREFIX) ? preset.replace(/\bk(\d)v\1(?=:|,|$)/g, "$1") : preset;
