import { describe, expect, it } from "vitest";
import { codecOf } from "../quant/codecs/registry.ts";
import { parseKvSpec } from "../quant/parse-kv-spec.ts";
import { byteSize, kvFromFlags, rateLimit, realNumber, splitKvList, wholeNumber, wholeNumbers } from "./options.ts";

it("splits specs at commas, modifiers staying with their preset", () => {
  expect(splitKvList("f16,k4v4")).toEqual(["f16", "k4v4"]);
  expect(splitKvList("f16,k4v4,sinks=0,window=0,paper-4+qjl")).toEqual(["f16", "k4v4,sinks=0,window=0", "paper-4+qjl"]);
  expect(splitKvList("f16,tiers=8:128,4:4096,3,sinks=0,k4v4,tiers=4:64,k3v2,k4v4")).toEqual([
    "f16",
    "tiers=8:128,4:4096,3,sinks=0",
    "k4v4",
    "tiers=4:64,k3v2",
    "k4v4",
  ]);
  expect(splitKvList("tiers=8:auto,4:auto,2,auto,f16")).toEqual(["tiers=8:auto,4:auto,2", "auto", "f16"]);
  expect(splitKvList("k4v4,layers=0-1:k8v8+3:f16")).toEqual(["k4v4,layers=0-1:k8v8+3:f16"]);
});

it("sizes in decimal and binary units", () => {
  expect(["512", "1kB", "512MB", "24 GB", "2GiB", "1.5k", "3g"].map(byteSize)).toEqual([
    512,
    1000,
    512e6,
    24e9,
    2 * 2 ** 30,
    1500,
    3e9,
  ]);
  for (const bad of ["", "0", "-1MB", "12XB", "MB", "1e9"]) expect(() => byteSize(bad), bad).toThrow(/size/);
});

it("limits of a minute: either or both, in any order", () => {
  expect(rateLimit("requests=60")).toEqual({ requests: 60 });
  expect(rateLimit("tokens=1000, requests=5")).toEqual({ tokens: 1000, requests: 5 });
  for (const bad of ["", "60", "requests=0", "requests=1.5", "requests=1,requests=2", "words=3", "tokens=5,"])
    expect(() => rateLimit(bad), bad).toThrow(/requests=N, tokens=N/);
});

it("numbers are whole, in range, and nothing else", () => {
  expect(wholeNumber(1)("12")).toBe(12);
  for (const bad of ["0", "1.5", "abc", "", " 3", "-2", "1e3"]) expect(() => wholeNumber(1)(bad), bad).toThrow(/whole/);
  expect(() => wholeNumber(1, 8)("9")).toThrow(/from 1 to 8/);
  expect(wholeNumbers(0)("0,4096, 16384")).toEqual([0, 4096, 16384]);
  expect(() => wholeNumbers(0)("1,,2")).toThrow(/whole/);
  expect(realNumber("0.7")).toBe(0.7);
  for (const bad of ["", "abc", "NaN"]) expect(() => realNumber(bad), bad).toThrow(/number/);
});

describe("--kv, -ctk and -ctv", () => {
  const formatOf = (flags: Parameters<typeof kvFromFlags>[0]) => {
    const { k, v, sinks, window } = parseKvSpec(kvFromFlags(flags)).forLayer(0);
    return [codecOf(k).typeOf(k), codecOf(v).typeOf(v), sinks, window];
  };
  it("the default is the product's", () => {
    expect(formatOf({})).toEqual(["tq4", "tq4", 16, 144]);
  });
  it("one side alone leaves the other f16, as in llama.cpp", () => {
    expect(formatOf({ cacheTypeK: "q8_0" })).toEqual(["q8_0", "f16", 0, 0]);
    expect(formatOf({ cacheTypeV: "q4_0r" })).toEqual(["f16", "q4_0r", 0, 0]);
  });
  it("a TurboQuant side brings sinks and window", () => {
    expect(formatOf({ cacheTypeK: "tq5", cacheTypeV: "tq4" })).toEqual(["tq5", "tq4", 16, 144]);
    // Those of 16 bits, beside a side without codes.
    expect(formatOf({ cacheTypeK: "q8_0", cacheTypeV: "tq4" })).toEqual(["q8_0", "tq4", 4, 128]);
  });
  it("beside --kv they override a side of it", () => {
    expect(formatOf({ kv: "paper-4", cacheTypeV: "f16" })).toEqual(["tq4", "f16", 0, 0]);
  });
});
