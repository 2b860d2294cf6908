/** @file Opens the WebGPU backend. */
import type { OpenBackend } from "../backend.ts";

export const open: OpenBackend = async ({ hardwareOnly, device, isShared }) => {
  const [{ WebGpuBackend }, { contextOver, openDevice }, { KernelPlans }, { storedPlans }] = await Promise.all([
    import("./backend.ts"),
    import("./device/open-device.ts"),
    import("./plans/kernel-plans.ts"),
    import("./plans/stored-plans.ts"),
  ]);
  const context = device
    ? contextOver(device)
    : await openDevice({
        ...(hardwareOnly !== undefined && { hardwareOnly }),
        ...(isShared !== undefined && { isShared }),
      });
  const { found, note } = await storedPlans(context);
  return new WebGpuBackend(context, new KernelPlans(found.winners), note === null ? [] : [note]);
};
