import { expect, it } from "vitest";
import { refuseUnknownOptions } from "./known-options.ts";

const KNOWN = { kv: true, contextLength: true, threads: true, ctx: "contextLength" } as const;
const refuse = (options: unknown) => () => refuseUnknownOptions("load", options as object, KNOWN);

it("takes what is known, and what is undefined", () => {
  expect(refuse({ kv: "k4v4", threads: 1, other: undefined })).not.toThrow();
});

it.each([
  [{ kV: "k4v4" }, "load: unknown option kV; did you mean kv?"],
  [{ context_length: 5 }, "load: unknown option context_length; did you mean contextLength?"],
  [{ ctx: 5 }, "load: unknown option ctx; did you mean contextLength?"],
  [{ thread: 5 }, "load: unknown option thread; did you mean threads?"],
  [{ quantumFlux: 5 }, "load: unknown option quantumFlux; choose from kv, contextLength, threads"],
  ["k4v4", 'load: expected an object of options, got "k4v4"; pass { name: value }'],
  [null, "load: expected an object of options, got null; pass { name: value }"],
])("refuses %j", (options, message) => {
  expect(refuse(options)).toThrow(message);
});
