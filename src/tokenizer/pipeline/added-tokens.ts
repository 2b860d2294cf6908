/** @file Tokens that are found in a text before it is normalized or cut. */
import { Component } from "./component.ts";
import type { Normalizer } from "./normalizers.ts";
import type { Vocabulary } from "./vocabulary.ts";

export interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly isSpecial: boolean;
  /** Not inside of a word. */
  readonly isSingleWord: boolean;
  /** Takes white space before and after it. */
  readonly takesLeft: boolean;
  readonly takesRight: boolean;
  /** Looked for in the normalized text. */
  readonly isNormalized: boolean;
}

export function readAddedTokens(json: unknown, where: string): AddedToken[] {
  if (json === null || json === undefined) return [];
  const list = new Component({ list: json }, where).list("list");
  return list.map((entry, index) => {
    const token = new Component(entry, `${where}[${index}]`);
    const id = token.number("id");
    if (!Number.isSafeInteger(id) || id < 0) throw token.invalid("an id", id);
    const isSpecial = token.boolean("special", false);
    return {
      id,
      content: token.text("content"),
      isSpecial,
      isSingleWord: token.boolean("single_word", false),
      takesLeft: token.boolean("lstrip", false),
      takesRight: token.boolean("rstrip", false),
      isNormalized: token.boolean("normalized", !isSpecial),
    };
  });
}

/** Adds them to the vocabulary. What the model knows keeps its id, and one that is taken gives way to the next free one. */
export function withOwnIds(tokens: readonly AddedToken[], vocabulary: Vocabulary): AddedToken[] {
  return tokens.map((token) => {
    const free = vocabulary.token(token.id) === undefined ? token.id : vocabulary.size;
    const id = vocabulary.id(token.content) ?? free;
    vocabulary.add(token.content, id);
    return { ...token, id };
  });
}

const WORD = /[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\p{Join_Control}]/u;
const SPACE = /[\t-\r\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]/;

interface Node {
  readonly next: Map<string, Node>;
  token: AddedToken | null;
}

/** A token, or the text between tokens, with its place in the text. */
export interface Section {
  readonly token: AddedToken | null;
  readonly start: number;
  readonly end: number;
}

/** Finds tokens from left to right, of those that begin at one place the longest. */
export class TokenFinder {
  readonly #root: Node = { next: new Map(), token: null };

  /** normalize: what is done to the tokens that are looked for in normalized text */
  constructor(tokens: readonly AddedToken[], normalize: Normalizer | null) {
    for (const token of tokens) {
      const text = normalize ? normalize(token.content) : token.content;
      if (text === "") continue;
      let node = this.#root;
      for (const unit of text.split("")) {
        let next = node.next.get(unit);
        if (!next) {
          next = { next: new Map(), token: null };
          node.next.set(unit, next);
        }
        node = next;
      }
      node.token ??= token;
    }
  }

  #longestAt(text: string, start: number): { token: AddedToken; end: number } | null {
    let node: Node | undefined = this.#root;
    let found: { token: AddedToken; end: number } | null = null;
    for (let at = start; at < text.length; at++) {
      node = node.next.get(text[at]!);
      if (!node) break;
      if (node.token) found = { token: node.token, end: at + 1 };
    }
    return found;
  }

  sections(text: string): Section[] {
    const sections: Section[] = [];
    let done = 0;
    for (let at = 0; at < text.length; at++) {
      const found = this.#root.next.size > 0 ? this.#longestAt(text, at) : null;
      if (!found) continue;
      const { token } = found;
      let [start, end] = [at, found.end];
      at = end - 1;
      if (token.isSingleWord && (isWordBefore(text, start) || isWordAfter(text, end))) continue;
      if (token.takesLeft) while (start > done && SPACE.test(text[start - 1]!)) start--;
      if (token.takesRight) while (end < text.length && SPACE.test(text[end]!)) end++;
      if (start > done) sections.push({ token: null, start: done, end: start });
      sections.push({ token, start, end });
      done = end;
    }
    if (done < text.length) sections.push({ token: null, start: done, end: text.length });
    return sections;
  }
}

function isWordBefore(text: string, at: number): boolean {
  const previous = [...text.slice(Math.max(0, at - 2), at)].at(-1);
  return previous !== undefined && WORD.test(previous);
}

function isWordAfter(text: string, at: number): boolean {
  const code = text.codePointAt(at);
  return code !== undefined && WORD.test(String.fromCodePoint(code));
}
