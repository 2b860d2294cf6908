/** @file Stores saved conversations as files of one directory. */
import { mkdirSync } from "node:fs";
import { open, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { TurboQuantError } from "../errors.ts";
import type { SlotStore } from "../server/server-context.ts";

/** directory: created if it does not exist */
export function slotFiles(directory: string): SlotStore {
  try {
    mkdirSync(directory, { recursive: true });
  } catch (cause) {
    throw new TurboQuantError(
      "invalid_argument",
      `--slot-save-path ${directory}: cannot be made (${(cause as NodeJS.ErrnoException).code}); choose a directory that can be written`,
      {},
      { cause },
    );
  }
  return {
    async write(name, parts) {
      // Written beside the target and renamed, so that a file is either complete or not there.
      const temporary = join(directory, `${name}.${process.pid}.${Date.now()}.tmp`);
      const file = await open(temporary, "w");
      let written = 0;
      try {
        for await (const part of parts) {
          await file.writeFile(part);
          written += part.length;
        }
        await file.close();
        await rename(temporary, join(directory, name));
      } catch (error) {
        await file.close().catch(() => {});
        await rm(temporary, { force: true });
        throw error;
      }
      return written;
    },
    async read(name) {
      try {
        return new Uint8Array(await readFile(join(directory, name)));
      } catch (cause) {
        throw new TurboQuantError(
          "invalid_argument",
          `slots: ${name} cannot be read (${(cause as NodeJS.ErrnoException).code}); save a slot under this name first`,
          { name },
          { cause },
        );
      }
    },
  };
}
