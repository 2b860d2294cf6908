/** @file The tool that compares with another implementation: its limits, and the generator behind that one's rotation. */
import { describe, expect, it } from "vitest";
import { createRotation } from "../src/quant/rotation.ts";
import { judge, judgeExact, type OracleRow } from "../tools/oracle/judge.ts";
import { ORACLE_SEED, oracleSigns, philox4x32, useOracleSigns } from "../tools/oracle/signs.ts";

const oracle: OracleRow = { k: 3, v: 3, window: 0, sinks: 0, ppl: 40, kld: 0.1, needle: 0 };

describe("judge", () => {
  it("passes inside the limits and not outside", () => {
    expect(judge(oracle, { ppl: 40.19, kldMean: 0.1 })).toBe("pass");
    expect(judge(oracle, { ppl: 40.21, kldMean: 0.1 })).toBe("FAIL");
    expect(judge(oracle, { ppl: 39.79, kldMean: 0.1 })).toBe("FAIL");
    expect(judge(oracle, { ppl: 40, kldMean: 0.114 })).toBe("pass");
    expect(judge(oracle, { ppl: 40, kldMean: 0.116 })).toBe("FAIL");
    expect(judge(oracle, { ppl: 40, kldMean: 0.084 })).toBe("FAIL");
    expect(judge(oracle, { ppl: 40, kldMean: Number.NaN })).toBe("FAIL");
  });

  it("takes less divergence than unconverged codebooks of 7 and 8 bits, but not more", () => {
    const wide = { ...oracle, k: 8, v: 8 };
    expect(judge(wide, { ppl: 40, kldMean: 0.05 })).toBe("pass");
    expect(judge(wide, { ppl: 40, kldMean: 0.15 })).toBe("FAIL");
    expect(judge({ ...wide, v: 4 }, { ppl: 40, kldMean: 0.05 })).toBe("FAIL");
  });

  it("allows an uncompressed cache a tenth of a percent", () => {
    expect(judgeExact(oracle, 40.03)).toBe("pass");
    expect(judgeExact(oracle, 40.05)).toBe("FAIL");
  });
});

describe("the oracle's signs", () => {
  // Known answers of the Random123 library.
  it.each([
    [
      [0, 0, 0, 0],
      [0, 0],
      [0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8],
    ],
    [
      [0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff],
      [0xffffffff, 0xffffffff],
      [0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd],
    ],
    [
      [0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344],
      [0xa4093822, 0x299f31d0],
      [0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1],
    ],
  ] as const)("Philox4x32-10 of %j", (counter, key, expected) => {
    expect(philox4x32(counter, key)).toEqual(expected);
  });

  it("take the place of our own for their seed alone", () => {
    const before = createRotation("hadamard", 32, ORACLE_SEED).signs[0]!.slice();
    const other = createRotation("hadamard", 32, 0).signs[0]!.slice();
    useOracleSigns(32);
    expect(createRotation("hadamard", 32, ORACLE_SEED).signs[0]).toEqual(oracleSigns(32));
    expect(oracleSigns(32)).not.toEqual(before);
    expect(createRotation("hadamard", 32, 0).signs[0]).toEqual(other);
    expect(() => useOracleSigns(24)).toThrow("no power of two");
  });
});
