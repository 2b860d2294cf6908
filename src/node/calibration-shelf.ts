/** @file Calibrations in files: beside their models, in a folder of the hub's cache, or wherever a user names them. */
import { mkdir, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { TurboQuantError } from "../errors.ts";
import type { FileSource } from "../formats/file-source.ts";
import { HttpSource } from "../formats/http-source.ts";
import { parseHubId } from "../formats/hub-id.ts";
import { CALIBRATION_FILE } from "../models/calibration-file.ts";
import type { CalibrationShelf, PlacedFile } from "../platform.ts";
import { DirectorySource } from "./directory-source.ts";
import { hubCacheDirectory, hubEndpoint, hubSettings } from "./hub/hub-settings.ts";
import { writeFileAtomically } from "./write-file-atomically.ts";

/** For models beside which nothing can be written; by the weights, which several names may have. */
const keptIn = (fingerprint: string): string =>
  join(hubCacheDirectory(), "turboquant", `${fingerprint}.${CALIBRATION_FILE}`);

const isFile = (path: string): Promise<boolean> =>
  stat(path).then(
    (info) => info.isFile(),
    () => false,
  );

const placed = (path: string): PlacedFile => ({ source: new DirectorySource(dirname(path)), file: basename(path) });

/** The file beside a model's, or null for a model that is in no folder here. */
function besideModel(model: FileSource, file: string): string | null {
  if (model instanceof DirectorySource) return join(model.directory, file);
  return "calibrationPath" in model && typeof model.calibrationPath === "string" ? model.calibrationPath : null;
}

/** A folder that nobody may write to is left as it is by those, too, whom the system lets (root). */
async function refuseReadOnly(folder: string): Promise<void> {
  if (((await stat(folder)).mode & 0o222) === 0) throw Object.assign(new Error("read-only folder"), { code: "EACCES" });
}

export const nodeCalibrations: CalibrationShelf = {
  async find(fingerprint) {
    const path = keptIn(fingerprint);
    return (await isFile(path)) ? placed(path) : null;
  },

  /** path: of a file, or a name on the hub, which means the calibration in that repository */
  async open(path) {
    if (await isFile(path)) return placed(path);
    const id = /\.safetensors$/i.test(path) ? null : parseHubId(path, hubEndpoint());
    if (!id || id.file !== null) return null;
    const { endpoint, token, isOffline } = await hubSettings();
    if (isOffline) {
      throw new TurboQuantError(
        "invalid_file",
        `calibration=${path}: there is no such file, and HF_HUB_OFFLINE is set; unset it, or name a file`,
      );
    }
    const files = `${endpoint}/${id.repo}/resolve/${encodeURIComponent(id.revision)}/`;
    const source = new HttpSource(files, token === null ? {} : { headers: { authorization: `Bearer ${token}` } }, path);
    return (await source.has(CALIBRATION_FILE)) ? { source, file: CALIBRATION_FILE } : null;
  },

  async keep(model, file, fingerprint, bytes) {
    const paths = [besideModel(model, file), keptIn(fingerprint)].filter((path) => path !== null);
    const problems: string[] = [];
    for (const path of paths) {
      try {
        // The folder of a model is there; those in caches may have to be made.
        await mkdir(dirname(path), { recursive: true });
        await refuseReadOnly(dirname(path));
        await writeFileAtomically(path, bytes);
        return path;
      } catch (error) {
        problems.push(`${dirname(path)}: ${(error as NodeJS.ErrnoException).code}`);
      }
    }
    throw new TurboQuantError(
      "invalid_argument",
      `calibration: it can be written neither beside the model nor into the cache (${problems.join("; ")}); choose a place with turboquant calibrate --out`,
    );
  },
};
