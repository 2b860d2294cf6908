/** @file Opens the WebGPU backend. */
import type { OpenBackend } from "../backend.ts";

export const open: OpenBackend = async ({ hardwareOnly }) => {
  const [{ WebGpuBackend }, { openDevice }, { KernelPlans }, { storedPlans }] = await Promise.all([
    import("./backend.ts"),
    import("./device/open-device.ts"),
    import("./plans/kernel-plans.ts"),
    import("./plans/stored-plans.ts"),
  ]);
  const context = await openDevice(hardwareOnly === undefined ? {} : { hardwareOnly });
  const { found, note } = await storedPlans(context);
  return new WebGpuBackend(context, new KernelPlans(found.winners), note === null ? [] : [note]);
};
