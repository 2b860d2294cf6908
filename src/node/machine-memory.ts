/** @file How much memory this process may have: the machine's, or the part of it that a container or a service is given. */
import { readFileSync } from "node:fs";
import { totalmem } from "node:os";

/** The text of a file, or null where there is none. */
type ReadText = (path: string) => string | null;

const ROOT = "/sys/fs/cgroup";
/** `max`: no more than this; `high`: the system takes pages away beyond it, so that nothing would go on. */
const FILES_V2 = ["memory.max", "memory.high"];
const FILES_V1 = ["memory.limit_in_bytes"];

/**
 * In bytes. Linux limits a process by its control group (version 2 or 1) and by those around it; in a container these are seen from the
 * container's own on, so that the path which the process is told may not be there.
 */
export function machineMemory(read: ReadText = readText, total: number = totalmem()): number {
  const limits: number[] = [];
  for (const line of (read("/proc/self/cgroup") ?? "").split("\n")) {
    const [, controllers, path = ""] = /^\d+:([^:]*):(\/.*)$/.exec(line) ?? [];
    if (controllers === "") limits.push(...limitsOf(read, ROOT, path, FILES_V2));
    else if (controllers?.split(",").includes("memory"))
      limits.push(...limitsOf(read, `${ROOT}/memory`, path, FILES_V1));
  }
  return Math.min(total, ...limits);
}

/** Of the group at a path and of all groups that it is in. */
function limitsOf(read: ReadText, root: string, path: string, files: readonly string[]): number[] {
  const limits: number[] = [];
  const parts = path.split("/").filter((part) => part !== "");
  for (let count = parts.length; count >= 0; count--) {
    const group = [root, ...parts.slice(0, count)].join("/");
    for (const file of files) {
      const text = read(`${group}/${file}`)?.trim() ?? "";
      // `max` is no limit, and a group of 0 bytes holds no process that could ask.
      if (/^[1-9]\d*$/.test(text)) limits.push(Number(text));
    }
  }
  return limits;
}

function readText(path: string): string | null {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return null;
  }
}
