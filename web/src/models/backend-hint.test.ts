import { expect, it } from "vitest";
import { backendHint, type Computing } from "./backend-hint.ts";

const browser: Computing = { hasThreads: false, cores: 8, hasGpu: true, canGetThreads: true };

it("says of the CPU how to get threads where there is one only, for Automatic as well", () => {
  for (const backend of ["wasm", "auto"] as const) {
    expect(backendHint(backend, browser), backend).toMatch(/on one thread; reload the page for 8 threads\.$/);
    expect(backendHint(backend, { ...browser, canGetThreads: false })).toMatch(/must come over https/);
    expect(backendHint(backend, { ...browser, hasThreads: true })).toMatch(/on 8 threads\.$/);
    expect(backendHint(backend, { ...browser, cores: 1 })).toMatch(/on one thread\.$/);
  }
});

it("says of WebGPU whether this browser has it", () => {
  expect(backendHint("webgpu", browser)).toBe("The graphics card, whatever it is.");
  expect(backendHint("webgpu", { ...browser, hasGpu: false })).toMatch(/no WebGPU here/);
});
