/**
 * @file Which pages of a layer are held in which tier of codes. All code that needs this rule asks here.
 *
 * Tier 0 has the codes that tokens get first (the `main` pages); each further tier is coarser. A page is in tier t or a coarser one when all of its
 * tokens have at least `after` tokens behind them. The rule depends on the length alone, so a query reads a page in the same tier whether its
 * token was generated or read as part of a prompt: a step that moves a page's tier makes the coarser page beside the finer one, earlier rows
 * of the step read the finer, and the commit gives it back.
 */
import type { PageLayout } from "../../quant/page-layout.ts";
import { NO_AGE } from "../../quant/parse-tiers.ts";

/** Newest tokens of a sequence whose codes grow coarser last when memory is short, as many as a residual window usually has. */
export const NEWEST_TOKENS = 128;

/** A coarser tier of a layer. */
export interface CoarserTier {
  readonly layout: PageLayout;
  /** See `Tier.after`. */
  readonly after: number;
}

/** Number of first pages that are in a tier, or in a coarser one, in a sequence of `length` tokens. */
export const pagesInTier = ({ after, layout }: CoarserTier, length: number): number =>
  Math.floor(Math.max(0, length - after) / layout.pageTokens);

/** The same once all pages that are full have grown as coarse as they can for want of memory. coded: first tokens that have codes */
export const mostInTier = (tier: CoarserTier, length: number, coded: number): number =>
  isPressed(tier) ? Math.floor(coded / tier.layout.pageTokens) : pagesInTier(tier, length);

/**
 * Number of first pages that are in tier `at` of `tiers` or in a coarser one. Pages that enter a tier for want of memory pass those before it,
 * which they may be too young for. inTier: what one tier asks for, `pagesInTier` or `mostInTier`
 */
export const pagesFromTier = (
  tiers: readonly CoarserTier[],
  at: number,
  length: number,
  coded: number,
  inTier: (tier: CoarserTier, length: number, coded: number) => number = mostInTier,
): number => tiers.reduce((most, tier, i) => (i < at ? most : Math.max(most, inTier(tier, length, coded))), 0);

/** Whether pages enter the tier for want of memory, and not by age. */
export const isPressed = ({ after }: { readonly after: number }): boolean => after === NO_AGE;

/** The length at which one more page than at `length` is in the tier. */
export const nextLength = (tier: CoarserTier, length: number): number =>
  (pagesInTier(tier, length) + 1) * tier.layout.pageTokens + tier.after;
