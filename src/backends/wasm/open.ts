/** @file Opens the WASM backend. */
import type { OpenBackend } from "../backend.ts";

export const open: OpenBackend = async ({ threads }) => {
  const { createWasmBackend } = await import("./backend.ts");
  return createWasmBackend(threads === undefined ? {} : { threads });
};
