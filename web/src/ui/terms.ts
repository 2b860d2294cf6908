/** @file What the page's words mean, for readers who know nothing of caches. One sentence or two each. */

export const TERMS = {
  "KV cache":
    "What the model keeps of every word it has read: for each one a key to find it by and a value to use. It grows with the conversation, and in long ones it outgrows the model itself.",
  token:
    "The unit a model reads and writes: a short word or a part of one. A hundred tokens are about 75 English words.",
  f16: "Every number of the cache in 16 bits, as most programs keep it. Nothing is lost, and nothing is saved.",
  format:
    "How many bits each cached number gets. k4v4: 4 bits for keys, 4 for values; k2v2: 2 bits. Fewer bits hold longer texts and remember them less exactly.",
  Codes: "The compressed numbers: a few bits each, which attention reads as they are.",
  Values: "The cached numbers themselves, uncompressed.",
  "Codes that grow coarser": "Compressed numbers that get fewer bits as they grow older.",
  Scales: "The length of each compressed vector; codes hold its direction.",
  "First tokens": "The beginning of the text is kept more exactly, because models look at it all the time.",
  "Recent tokens": "The last part of the text is kept more exactly, because the next word depends on it most.",
  "States of fixed size": "What layers without attention keep: it does not grow with the text.",
  Context: "How much the conversation may hold, the answers included.",
} as const;

export type TermName = keyof typeof TERMS;

export const isTerm = (name: string): name is TermName => Object.hasOwn(TERMS, name);
