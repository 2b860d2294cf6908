/** @file Opens the reference backend. */
import type { OpenBackend } from "../backend.ts";

export const open: OpenBackend = async () => {
  const { createReferenceBackend } = await import("./backend.ts");
  return createReferenceBackend();
};
