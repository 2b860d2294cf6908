/** @file What a machine may lack. TQ_REQUIRE=browser,webgpu turns a skip for want of it into a failure. */
import { existsSync } from "node:fs";

const required = new Set((process.env["TQ_REQUIRE"] ?? "").split(",").filter(Boolean));

/** TQ_THOROUGH=1: whole grids where the suite takes the cases that stand for the others: when a kernel is rewritten. */
export const isThorough = process.env["TQ_THOROUGH"] === "1";

/** The reason to skip, or null to run; throws when the thing is absent and required. */
export function skipReason(
  name: "browser" | "webgpu" | "curl" | "lm_eval" | "smg" | "next" | "firefox" | "redis",
  present: boolean,
  how: string,
): string | null {
  if (present) return null;
  const reason = `${name} not present; ${how}`;
  if (required.has(name)) throw new Error(`TQ_REQUIRE=${name}: ${reason}`);
  return reason;
}

/** Path of a Chromium, or undefined. CHROMIUM names one that is somewhere else, or none where it names no file. */
export function findChromium(): string | undefined {
  const named = process.env["CHROMIUM"];
  const candidates = named ? [named] : ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
  return candidates.find((path) => existsSync(path));
}

/** Flags that give a Chromium WebGPU on SwiftShader, which it brings along. Why Vulkan does not zero workgroup memory says `src/node/gpu.ts`. */
export const SOFTWARE_GPU = [
  "--enable-unsafe-webgpu",
  "--use-webgpu-adapter=swiftshader",
  "--disable-dawn-features=use_vulkan_zero_initialize_workgroup_memory_extension",
];

/**
 * Debian's Chromium renders suggestions of its address bar beside every window, in two pages of its own, also where nobody sees them: more than
 * half of the work of opening the page.
 */
export const WITHOUT_ADDRESS_BAR = "--disable-features=WebUIOmniboxPopup,WebUIOmniboxAimPopup";

/** SwiftShader takes up to two seconds to make a kernel, many times as long on cores that are shared. */
export const GPU_TIMEOUT_MS = 300_000;
