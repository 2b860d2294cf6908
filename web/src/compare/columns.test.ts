import { describe, expect, it } from "vitest";
import type { CompareResult } from "../engine/protocol.ts";
import { type Column, emptyColumn, firstDifference, forkOf, partsOf, stopped, withEvent } from "./columns.ts";

const RESULT: CompareResult = {
  kv: "k4v4",
  promptTokens: 3,
  tokens: 7,
  numBytes: 100,
  f16Bytes: 300,
};

/** A column whose tokens are letters. */
const column = (text: string, ended = false): Column => ({
  ...emptyColumn("k4v4"),
  tokens: [...text].map((letter) => ({ id: letter.charCodeAt(0), text: letter, likely: [] })),
  result: ended ? RESULT : null,
});

describe("firstDifference", () => {
  it("is the first token that differs, not the last", () => {
    expect(firstDifference(column("abcdef"), column("abxdey"))).toBe(2);
    expect(firstDifference(column("abc"), column("xbc"))).toBe(0);
  });

  it("waits for the slower column, and counts an end as a difference", () => {
    expect(firstDifference(column("abcd"), column("ab"))).toBeNull();
    expect(firstDifference(column("abcd"), column("ab", true))).toBe(2);
    expect(firstDifference(column("ab", true), column("abc"))).toBe(2);
    expect(firstDifference(column("abc", true), column("abc", true))).toBeNull();
  });

  it("goes by tokens: the same text may come from others", () => {
    const other: Column = { ...column("a"), tokens: [{ id: 7, text: "a", likely: [] }] };
    expect(firstDifference(column("a"), other)).toBe(0);
  });
});

describe("partsOf", () => {
  it("splits at the token that differs", () => {
    expect(partsOf(column("abcde"), 2)).toEqual(["ab", "c", "de"]);
    expect(partsOf(column("ab"), 2)).toEqual(["ab", "", ""]);
    expect(partsOf(column("ab"), null)).toEqual(["ab", "", ""]);
  });
});

describe("withEvent", () => {
  it("changes the column that the event names and no other", () => {
    let columns = [emptyColumn("f16"), emptyColumn("k4v4")];
    columns = withEvent(columns, { type: "prefill", column: 0, done: 1, total: 4 });
    columns = withEvent(columns, { type: "token", column: 1, token: 5, text: "x", likely: [] });
    columns = withEvent(columns, { type: "agreement", column: 1, agreed: 2, total: 3 });
    columns = withEvent(columns, { type: "recall", column: 1, text: "42", isFound: true });
    columns = withEvent(columns, { type: "done", column: 1, result: RESULT });
    expect(columns[0]).toMatchObject({ prefill: 0.25, tokens: [], result: null });
    expect(columns[1]).toMatchObject({ prefill: 0, tokens: [{ id: 5, text: "x" }], result: RESULT });
    expect(columns[1]).toMatchObject({ agreement: { agreed: 2, total: 3 }, answers: [{ text: "42", isFound: true }] });
  });
});

describe("stopped", () => {
  it("ends what has no result, and leaves what has one", () => {
    expect(stopped([column("a"), column("b", true)]).map(({ isStopped }) => isStopped)).toEqual([true, false]);
  });
});

describe("forkOf", () => {
  const at = (id: number, ...likely: [token: number, probability: number][]): Column => ({
    ...emptyColumn("k4v4"),
    tokens: [
      {
        ...{ id, text: String.fromCharCode(id) },
        likely: likely.map(([token, probability]) => ({ token, text: "", probability })),
      },
    ],
  });

  it("says what both gave to both tokens, and whether the reference was undecided", () => {
    const near = forkOf(at(97, [97, 0.31], [98, 0.3]), at(98, [98, 0.32], [97, 0.28]), 0);
    expect(near).toEqual({ mine: "a", other: "b", reference: [0.31, 0.3], column: [0.28, 0.32], isNearTie: true });
    const clear = forkOf(at(97, [97, 0.9]), at(98, [98, 0.6], [97, 0.3]), 0);
    expect(clear).toMatchObject({ reference: [0.9, 0], column: [0.3, 0.6], isNearTie: false });
  });

  it("is nothing where one of them ended", () => {
    expect(forkOf(column("ab", true), column("a", true), 1)).toBeNull();
  });
});
