import { expect, it } from "vitest";
import { describeFormat } from "./describe-format.ts";

it.each([
  ["f16", { family: "exact", side: "none", bits: null }],
  ["k4v4", { family: "ours", side: "both", bits: 4, hasExactTokens: true }],
  ["k5v4,sinks=0,window=0", { family: "ours", side: "both", bits: null, hasExactTokens: false }],
  ["paper-3", { family: "published", side: "both", bits: 3, hasExactTokens: false }],
  ["paper-4+qjl", { family: "qjl", side: "both", bits: 4 }],
  ["paper-4,v=f16", { family: "published", side: "k", bits: 4, wholeSpec: "paper-4" }],
  ["paper-4,k=f16,window=64", { family: "published", side: "v", bits: 4, wholeSpec: "paper-4,window=64" }],
  ["paper-4,feedback=on", { family: "ours", bits: 4 }],
  ["q8_0", { family: "baseline", side: "both", bits: 8 }],
  ["q4_0r", { family: "baseline", bits: 4 }],
  ["k4v4,layers=0-1:k8v8", { family: "ours", bits: null }],
])("%s", (kv, kind) => {
  expect(describeFormat(kv)).toMatchObject(kind);
});
