import { describe, expect, it } from "vitest";
import { checkSpace, parseSpace } from "./space-schema.ts";

const problem = (value: unknown): string => {
  try {
    checkSpace(value, "f");
  } catch (error) {
    expect(error).toMatchObject({ name: "TurboQuantError", code: "invalid_file" });
    return (error as Error).message;
  }
  throw new Error("was accepted");
};
const withParameters = (parameters: object, more: object = {}) => ({ name: "x", parameters, ...more });

describe("search space", () => {
  it("fills in defaults, and what it gives can be read again to the same", () => {
    const space = checkSpace(withParameters({ bits: { from: 2, to: 6, step: 2 }, sinks: 0 }), "f");
    expect(space).toMatchObject({
      strategy: { kind: "grid" },
      objective: { minimize: "rate", maxKld: 0.03 },
      budget: {},
      impossible: "refuse",
      parts: [{ name: "all", parameters: { bits: [2, 4, 6], sinks: [0] } }],
    });
    expect(parseSpace(JSON.stringify(space), "f")).toEqual(space);
    expect(checkSpace(withParameters({}, { strategy: "tpe" }), "f").strategy).toEqual({
      kind: "tpe",
      startup: 12,
      batch: 4,
    });
  });

  it.each([
    [withParameters({ k: [1, 2, 9] }), /^f: parameters\.k\[2\]: .*<=8/],
    [withParameters({ bits: { from: 1, to: 12 } }), /parameters\.bits: 9: .*<=8/],
    [withParameters({ qjl: [false, 12] }), /parameters\.qjl\[1\]: .*multiple of 8/],
    [withParameters({ rotation: "spin" }), /parameters\.rotation: .*"hadamard"\|"qr"\|"none"/],
    [withParameters({ colour: 3 }), /parameters: .*"colour"/],
    [withParameters({ sinks: [] }), /parameters\.sinks: expected at least one value/],
    [withParameters({ window: { from: 4, to: 1 } }), /parameters\.window: expected to ≥ from/],
    [withParameters({}, { strategy: { kind: "halving", eta: 1 } }), /strategy\.eta: /],
    [withParameters({}, { budget: { runs: 0 } }), /budget\.runs: /],
    [{ name: "a b", parts: [{ name: "p", parameters: {} }] }, /name: expected letters/],
    [{ name: "x", parts: [{ name: "p", parameters: { ctx: [1] } }] }, /parts\[0\]\.parameters\.ctx\[0\]: /],
    [[], /\(top\): expected object/],
  ])("%j: says where", (value, message) => {
    expect(problem(value)).toMatch(message);
  });
});
