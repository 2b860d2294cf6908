/** @file Which calibration a format gets, by what is said in it and what `LoadOptions.calibration` says. */
import type { KvSpec } from "../../quant/parse-kv-spec.ts";

/** As `readCalibration` takes it. option: `LoadOptions.calibration` */
export const calibrationChoice = (spec: KvSpec, option: string | undefined): string =>
  spec.calibration === "auto" ? (option ?? "auto") : spec.calibration;

/** Whether a calibration is to be made for this format if the model has none. */
export const wantsCalibration = (spec: KvSpec, option: string | undefined): boolean =>
  !spec.isFloat && spec.calibration === "auto" && (option === undefined ? spec.makesCalibration : option === "auto");
