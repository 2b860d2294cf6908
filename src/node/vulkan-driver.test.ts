/** @file What is said of Vulkan before Dawn is asked, over folders made here. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { noVulkan } from "./gpu.ts";
import { whyNoVulkan } from "./vulkan-driver.ts";

const root = mkdtempSync(join(tmpdir(), "turboquant-vulkan-"));
afterAll(() => rmSync(root, { recursive: true }));

function folder(...files: string[]): string {
  const path = mkdtempSync(join(root, "f-"));
  for (const file of files) {
    mkdirSync(join(path, file, ".."), { recursive: true });
    writeFileSync(join(path, file), "{}");
  }
  return path;
}

it("who lacks a driver and Dawn hears of both at once", () => {
  const why = "no driver; install one";
  expect(noVulkan(why, false).message).toBe(
    "webgpu: no driver; install one, run `npm install webgpu`, or use --backend wasm",
  );
  expect(noVulkan(why, true).message).toBe("webgpu: no driver; install one, or use --backend wasm");
});

const nowhere = folder();
const withDrivers = (...manifests: string[]) => ({
  XDG_DATA_DIRS: folder(...manifests.map((name) => `vulkan/icd.d/${name}`)),
});

it.each([
  ["no driver", {}, folder("dri/renderD128"), /^no Vulkan driver is installed; install/],
  ["a driver and no GPU", withDrivers("nvidia_icd.json"), folder("null"), /nvidia_icd\.json\), and no GPU/],
  ["a display without computing", withDrivers("intel_icd.json"), folder("dri/card0"), /and no GPU/],
  ["a driver and its GPU", withDrivers("nvidia_icd.json"), folder("nvidia0"), null],
  ["a render node", withDrivers("radeon_icd.json"), folder("dri/renderD128"), null],
  ["a driver in software", withDrivers("radeon_icd.json", "lvp_icd.x86_64.json"), nowhere, null],
  ["a named file that is not there", { VK_DRIVER_FILES: "/no/vk_icd.json" }, folder("nvidia0"), /VK_DRIVER_FILES=\/no/],
  [
    "a named file that is there",
    { VK_ICD_FILENAMES: join(folder("vk_swiftshader_icd.json"), "vk_swiftshader_icd.json") },
    nowhere,
    null,
  ],
] as const)("%s", (_what, env, devices, why) => {
  // The system's own folders of drivers would be found as well.
  const said = whyNoVulkan({ env: { XDG_DATA_DIRS: nowhere, ...env }, home: nowhere, devices });
  if (why === null) expect(said).toBeNull();
  else expect(said).toMatch(why);
});
