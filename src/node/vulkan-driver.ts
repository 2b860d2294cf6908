/**
 * @file Whether Vulkan on Linux has a driver and a GPU for it, told from files alone. Where it has not, Dawn takes its time to find out and
 * prints lines of its own that nobody can switch off.
 */
import { existsSync, readdirSync } from "node:fs";
import { homedir } from "node:os";
import { basename, join } from "node:path";

export interface VulkanPlaces {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly home: string;
  /** The folder of devices. */
  readonly devices: string;
}

export const systemPlaces = (): VulkanPlaces => ({ env: process.env, home: homedir(), devices: "/dev" });

/** Variables that name manifests of drivers, or folders of them, in place of the system's; and one that adds to them. */
const NAMING = ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"] as const;
const ADDING = "VK_ADD_DRIVER_FILES";

/** Drivers that compute on the CPU and need no device. */
const SOFTWARE = /swiftshader|lvp|lavapipe|llvmpipe|mock/i;

/** Devices through which GPUs are driven: of the kernel's own interface, NVIDIA, WSL, AMD compute, ARM, Qualcomm, Imagination, Tegra. */
const DEVICES = [
  /^nvidia\d/,
  /^nvidiactl$/,
  /^dxg$/,
  /^kfd$/,
  /^mali\d/,
  /^kgsl/,
  /^pvr/,
  /^nvgpu/,
  /^nvhost/,
  /^nvmap$/,
];

/** Why no adapter can be found, with what to do about it; null where one may be. */
export function whyNoVulkan(places: VulkanPlaces): string | null {
  const manifests = driverManifests(places);
  if (manifests.length === 0) {
    const named = NAMING.find((name) => places.env[name]);
    return named
      ? `${named}=${places.env[named]} names no driver that is there; correct it`
      : "no Vulkan driver is installed; install the GPU's driver";
  }
  if (manifests.some((path) => SOFTWARE.test(basename(path))) || hasDevice(places.devices)) return null;
  return `a Vulkan driver is installed (${manifests.map((path) => basename(path)).join(", ")}), and no GPU that it could drive; pass the device on to this container or machine`;
}

function driverManifests({ env, home }: VulkanPlaces): string[] {
  const listed = (value: string | undefined): string[] => (value ? value.split(":").flatMap(manifestsAt) : []);
  const named = NAMING.find((name) => env[name]);
  const added = listed(env[ADDING]);
  if (named) return [...listed(env[named]), ...added];
  const data = (env["XDG_DATA_DIRS"] || "/usr/local/share:/usr/share").split(":");
  const own = env["XDG_DATA_HOME"] || join(home, ".local/share");
  const roots = ["/etc", "/etc/xdg", "/usr/local/etc", own, ...data];
  return [...roots.flatMap((root) => manifestsAt(join(root, "vulkan/icd.d"))), ...added];
}

/** A manifest, or those of a folder. */
function manifestsAt(path: string): string[] {
  if (path.endsWith(".json")) return existsSync(path) ? [path] : [];
  return namesIn(path)
    .filter((name) => name.endsWith(".json"))
    .map((name) => join(path, name));
}

function hasDevice(devices: string): boolean {
  const isRender = namesIn(join(devices, "dri")).some((name) => name.startsWith("renderD"));
  return isRender || namesIn(devices).some((name) => DEVICES.some((pattern) => pattern.test(name)));
}

function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
