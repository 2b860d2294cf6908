/** @file Vocabularies and merges as tables of bytes, beside maps of strings. */
import { expect, it } from "vitest";
import { CounterRng } from "../math/rng.ts";
import { mergesOfScores, mergesOfTexts } from "./merge-list.ts";
import { TextList } from "./text-list.ts";
import { TokenList } from "./token-list.ts";

const UNITS = ["a", "b", "ab", "▁", "é", "😀", "\ufeff", "\0", "\n", "\ud800"];
/** Texts of a few kinds of characters, many of them several times. */
const texts = (count: number): string[] => {
  const rng = new CounterRng(11, 0);
  let drawn = 0;
  const below = (limit: number): number => Math.floor(rng.uniform(drawn++) * limit);
  const unit = (): string => UNITS[below(UNITS.length)]!;
  return Array.from({ length: count }, () => Array.from({ length: below(7) }, unit).join(""));
};
/** Half a surrogate pair has no bytes of its own. */
const whole = (text: string): string =>
  new TextDecoder("utf-8", { ignoreBOM: true }).decode(new TextEncoder().encode(text));
const listOf = (tokens: readonly string[]) => new TokenList(TextList.of(tokens));

it("finds the last of the tokens with a text, and all of them", () => {
  const tokens = [...texts(3000), "x".repeat(10_000)];
  const list = listOf(tokens);
  const ids = new Map(tokens.map((token, id) => [whole(token), id]));
  for (const [id, token] of tokens.entries()) {
    expect(list.text(id)).toBe(whole(token));
    expect(list.find(token)).toBe(ids.get(whole(token)));
    expect(list.lastLike(id)).toBe(ids.get(whole(token)));
  }
  const others = texts(6000).slice(3000);
  expect(others.map((text) => list.find(text))).toEqual(others.map((text) => ids.get(whole(text)) ?? -1));
  const same = tokens.flatMap((token, id) => (token === "" ? [id] : []));
  expect(same.length).toBeGreaterThan(1);
  expect(list.idsOf("")).toEqual(same);
  expect(list.idsOf("nothing")).toEqual([]);
  expect(list.longest).toBe(10_000);
  expect(listOf(["😀é"]).longest).toBe(3);
});

it("merges are two tokens of the vocabulary, and are refused where they are not two", () => {
  const list = listOf(["a", " ", "b", "ab", "a ", "é", "éb", "  "]);
  const invalid = (text: string): Error => new Error(`no merge: ${JSON.stringify(text)}`);
  const read = (...merges: string[]) => mergesOfTexts(list, TextList.of(merges), invalid);
  const merges = read("a b", "x y", "a a", "é b", "   ");
  expect(merges.toJSON()).toEqual([
    ["a", "b"],
    ["é", "b"],
    [" ", " "],
  ]);
  expect([...merges.result]).toEqual([3, 6, 7]);
  for (const bad of ["", "ab", "a ", "é", " b"]) expect(() => read(bad)).toThrow(`no merge: ${JSON.stringify(bad)}`);
});

it("scores become every way to spell a token with two others, by falling score", () => {
  const list = listOf(["a", "b", "ab", "aba", "ba", "é", "aé"]);
  const scores = [0, 0, -1, -3, -2, 0, -3];
  const { merges, ranks } = mergesOfScores(list, scores, (id) => id !== 4);
  expect(merges.toJSON()).toEqual([
    ["a", "b"],
    ["a", "ba"],
    ["ab", "a"],
    ["a", "é"],
  ]);
  expect(ranks).toEqual([0, 1, 1, 1]);
  expect([...merges.result]).toEqual([2, 3, 3, 6]);
});
