/** @file What two hosts must agree on before one computes for the other: the build, and each model's weights and calibration. */
import { openCheckpoint } from "../../../formats/open-checkpoint.ts";
import { calibratedShape, calibrationTag, loadCalibration } from "../../../models/calibration-file.ts";
import { parseModelConfig } from "../../../models/config.ts";
import { getPlatform, type OnProgress } from "../../../platform.ts";
import { buildCommit, packageVersion } from "../../build-info.ts";

/** The version, and the commit where it is known. */
export async function buildName(): Promise<string> {
  const commit = await buildCommit();
  return commit === null ? packageVersion() : `${packageVersion()} (${commit})`;
}

/** Hex digits of `modelIdentity` that stand for the weights. */
const WEIGHT_DIGITS = 64;

/**
 * The fingerprint of a model with the calibration that its formats get, as `LLM.fingerprint` has it. Reads samples of the weights; a model
 * of the hub is downloaded.
 * @throws TurboQuantError — there is no such model, or it cannot be read
 */
export async function modelIdentity(
  ref: string,
  options: { readonly signal?: AbortSignal; readonly onProgress?: OnProgress } = {},
): Promise<string> {
  const source = await getPlatform().openSource(ref, options);
  try {
    const checkpoint = await openCheckpoint(source);
    const config = parseModelConfig(await checkpoint.config(), checkpoint.configFile);
    const calibration = await loadCalibration(source, "auto", calibratedShape(config), checkpoint);
    return (await checkpoint.fingerprint()) + calibrationTag(calibration);
  } finally {
    await source.close();
  }
}

/** In what two identities differ, for messages; null when they are equal. */
export function differenceOf(wanted: string, got: string): string | null {
  if (wanted === got) return null;
  const [a, b] = [wanted.slice(0, WEIGHT_DIGITS), got.slice(0, WEIGHT_DIGITS)];
  if (a !== b) return `other weights (fingerprint ${b.slice(0, 12)}…, the sweep has ${a.slice(0, 12)}…)`;
  return "another calibration than the sweep has";
}
