/** @file Memory that a GPU has in use, as the driver reports it. */
import { execFileSync } from "node:child_process";

/** Memory in use on the first NVIDIA GPU, by nvidia-smi; NaN without one. */
export function usedDeviceBytes(): number {
  try {
    const args = ["--query-gpu=memory.used", "--format=csv,noheader,nounits"];
    return Number(execFileSync("nvidia-smi", args, { encoding: "utf8" }).split("\n")[0]) * 2 ** 20;
  } catch {
    return Number.NaN;
  }
}
