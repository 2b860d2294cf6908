/** @file Opens the WebGPU backend. */
import type { OpenBackend } from "../backend.ts";

export const open: OpenBackend = async ({ hardwareOnly }) => {
  const { createWebGpuBackend } = await import("./backend.ts");
  return createWebGpuBackend(hardwareOnly === undefined ? {} : { hardwareOnly });
};
