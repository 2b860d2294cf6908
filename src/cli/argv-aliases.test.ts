import { expect, it } from "vitest";
import { normalizeArgv } from "./argv-aliases.ts";

it("rewrites llama.cpp's spellings, with a value beside them or behind =", () => {
  expect(normalizeArgv(["run", "-ctk", "q8_0", "-ctv=tq4", "--temp", "0.5", "--ctx-size=99"])).toEqual([
    "run",
    "--cache-type-k",
    "q8_0",
    "--cache-type-v=tq4",
    "--temperature",
    "0.5",
    "--ctx=99",
  ]);
});

it("leaves everything else alone, and everything after --", () => {
  const argv = ["run", "--kv", "k4v4,window=0", "-c", "12", "constructor", "--", "-ctk", "--temp=1"];
  expect(normalizeArgv(argv)).toEqual(argv);
});
