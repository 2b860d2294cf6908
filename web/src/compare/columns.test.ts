import { describe, expect, it } from "vitest";
import type { CompareResult } from "../engine/protocol.ts";
import { type Column, emptyColumn, firstDifference, partsOf, withEvent } from "./columns.ts";

const RESULT: CompareResult = {
  kv: "k4v4",
  promptTokens: 3,
  finishReason: "stop",
  decodeTokPerSec: 10,
  numBytes: 100,
  f16Bytes: 300,
};

/** A column whose tokens are letters. */
const column = (text: string, ended = false): Column => ({
  ...emptyColumn("k4v4"),
  tokens: [...text].map((letter) => ({ id: letter.charCodeAt(0), text: letter })),
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
    const other: Column = { ...column("a"), tokens: [{ id: 7, text: "a" }] };
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
    columns = withEvent(columns, { type: "token", column: 1, token: 5, text: "x" });
    columns = withEvent(columns, { type: "done", column: 1, result: RESULT });
    expect(columns[0]).toMatchObject({ prefill: 0.25, tokens: [], result: null });
    expect(columns[1]).toMatchObject({ prefill: 0, tokens: [{ id: 5, text: "x" }], result: RESULT });
  });
});
