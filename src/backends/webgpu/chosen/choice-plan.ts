/** @file How rows whose tokens are chosen are taken together, and the memory that takes. */

/** Candidates (tokens, or blocks of them) of a workgroup of a choice. */
export const CHOICE_THREADS = 256;
const TILE = 8 * CHOICE_THREADS;
/** Counts of the three digits of a number, by list. */
const TALLY_WORDS = 3 * 2048;
/** Bytes of each of the buffers of a choice: rows that would need more are chosen for in turn. */
const CHOICE_BYTES = 16 << 20;

const WORTH_GROUPS = 1024;

/** Sizes of the parts of a list in the buffers of a choice, in words. */
export interface ListWords {
  /** Numbers of tokens, and of blocks where blocks are chosen. */
  readonly tokens: number;
  readonly blocks: number;
  readonly tallies: number;
  readonly counts: number;
  /** The most workgroups for the candidates of a list. */
  readonly tiles: number;
  /** Workgroups for the worth of the blocks of a list, each of which may take several. */
  readonly worthGroups: number;
}

const wholeTiles = (count: number): number => Math.ceil(count / TILE) * TILE;

/** longest: tokens of the longest list · blockSize: tokens of a block, 0 where single tokens are chosen */
export function listWords(longest: number, blockSize: number): ListWords {
  const tokens = wholeTiles(longest);
  const blocks = blockSize > 0 ? wholeTiles(Math.ceil(longest / blockSize)) : 0;
  const tiles = (blocks || tokens) / TILE;
  // A power of two, so that a growing sequence seldom has another one.
  const most = blockSize > 0 ? 2 ** Math.ceil(Math.log2(Math.ceil(longest / blockSize))) : 0;
  const worthGroups = Math.min(WORTH_GROUPS, most);
  return { tokens, blocks, tallies: TALLY_WORDS, counts: 2 + 2 * tiles, tiles, worthGroups };
}

/** The most lists of rows that are taken together. */
export function listsTogether({ tokens, blocks, tallies }: ListWords, listsOfRow: number): number {
  const most = Math.floor(CHOICE_BYTES / 4 / Math.max(tokens + blocks, tallies));
  return Math.max(1, Math.floor(most / listsOfRow)) * listsOfRow;
}

/** The most bytes of all buffers of a choice. tokens: of the longest sequence · listsOfRow: 0 where nothing is chosen */
export function choiceBytes(tokens: number, listsOfRow: number): number {
  if (listsOfRow === 0) return 0;
  // Blocks of one token take the most.
  const words = listWords(tokens, 1);
  const lists = listsTogether(words, listsOfRow);
  // Buffers grow to powers of two.
  return 2 * 4 * lists * (words.tokens + words.blocks + words.tallies + words.counts);
}
