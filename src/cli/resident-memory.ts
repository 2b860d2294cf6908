/** @file Resident memory of this process: its present size, and its peak since a given moment. */
import { readFileSync, writeFileSync } from "node:fs";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type { ProcessGauge } from "../bench/load.ts";

/** Collects garbage. Otherwise buffers that the weights were read into would be freed later and hide some of the growth. */
function collectGarbage(): void {
  setFlagsFromString("--expose-gc");
  (runInNewContext("gc") as () => void)();
}

export class ResidentMemory implements ProcessGauge {
  #highest = 0;
  /** Whether the kernel's own high-water mark could be reset (Linux). */
  #hasMark = false;

  bytesAfterGc(): number {
    collectGarbage();
    return process.memoryUsage.rss();
  }

  cpuMs(): number {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1000;
  }

  heapBytes(): number {
    const { heapTotal, arrayBuffers } = process.memoryUsage();
    return heapTotal + arrayBuffers;
  }

  resetPeak(): void {
    this.#highest = 0;
    try {
      writeFileSync("/proc/self/clear_refs", "5");
      this.#hasMark = true;
    } catch {
      this.#hasMark = false;
    }
  }

  sample(): void {
    this.#highest = Math.max(this.#highest, process.memoryUsage.rss());
  }

  peak(): number {
    this.sample();
    const mark = this.#hasMark ? /^VmHWM:\s+(\d+) kB/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1] : undefined;
    return mark === undefined ? this.#highest : Number(mark) * 1024;
  }
}
