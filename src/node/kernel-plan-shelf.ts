/** @file The plans of kernels that `turboquant tune` has found, in the folder of the hub's cache that calibrations lie in too. */
import { mkdir, readFile, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import { TurboQuantError } from "../errors.ts";
import type { TextShelf } from "../platform.ts";
import { hubCacheDirectory } from "./hub/hub-settings.ts";
import { writeFileAtomically } from "./write-file-atomically.ts";

const placeOf = (name: string): string => join(hubCacheDirectory(), "turboquant", name);

export const nodeKernelPlans: TextShelf = {
  async find(name) {
    const place = placeOf(name);
    try {
      return { text: await readFile(place, "utf8"), place };
    } catch {
      return null;
    }
  },

  async keep(name, text) {
    const place = placeOf(name);
    try {
      await mkdir(dirname(place), { recursive: true });
      await writeFileAtomically(place, new TextEncoder().encode(text));
      return place;
    } catch (cause) {
      throw new TurboQuantError(
        "invalid_argument",
        `${place}: cannot be written: ${(cause as NodeJS.ErrnoException).code}; set HF_HOME or HF_HUB_CACHE to a folder of yours`,
        { place },
        { cause },
      );
    }
  },

  async remove(name) {
    const place = placeOf(name);
    const isThere = await readFile(place).then(
      () => true,
      () => false,
    );
    await rm(place, { force: true });
    return isThere ? place : null;
  },
};
