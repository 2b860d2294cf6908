/** @file The memory of a process in a container is the container's. */
import { totalmem } from "node:os";
import { expect, it } from "vitest";
import { machineMemory } from "./machine-memory.ts";

const TOTAL = 64e9;
const V2 = "0::/system.slice/app.service\n";
const V1 = "12:cpu,cpuacct:/docker/ab\n5:memory:/docker/ab\n0::/\n";

it.each<[string, Record<string, string>, number]>([
  ["no control groups", {}, TOTAL],
  ["version 2, its own limit", { "/proc/self/cgroup": V2, "system.slice/app.service/memory.max": "2000000000\n" }, 2e9],
  [
    "version 2, the limit of a group around it",
    {
      "/proc/self/cgroup": V2,
      "system.slice/app.service/memory.max": "4000000000\n",
      "system.slice/memory.max": "3000000000\n",
    },
    3e9,
  ],
  ["version 2, in a container", { "/proc/self/cgroup": "0::/\n", "memory.max": "512000000\n" }, 512e6],
  [
    "version 2, a soft limit",
    { "/proc/self/cgroup": "0::/\n", "memory.max": "max\n", "memory.high": "1000000\n" },
    1e6,
  ],
  ["version 2, none", { "/proc/self/cgroup": V2, "system.slice/app.service/memory.max": "max\n" }, TOTAL],
  [
    "version 1, as the host sees it",
    { "/proc/self/cgroup": V1, "memory/docker/ab/memory.limit_in_bytes": "1000000\n" },
    1e6,
  ],
  ["version 1, in a container", { "/proc/self/cgroup": V1, "memory/memory.limit_in_bytes": "2000000\n" }, 2e6],
  ["version 1, none", { "/proc/self/cgroup": V1, "memory/memory.limit_in_bytes": "9223372036854771712\n" }, TOTAL],
  ["a limit beyond the machine", { "/proc/self/cgroup": "0::/\n", "memory.max": "99000000000\n" }, TOTAL],
  ["damaged files", { "/proc/self/cgroup": "::\n0::\nx", "memory.max": "1e3" }, TOTAL],
])("%s", (_, files, expected) => {
  const read = (path: string): string | null => files[path] ?? files[path.replace("/sys/fs/cgroup/", "")] ?? null;
  expect(machineMemory(read, TOTAL)).toBe(expected);
});

it("of this process is at most the machine's", () => {
  expect(machineMemory()).toBeGreaterThan(0);
  expect(machineMemory()).toBeLessThanOrEqual(totalmem());
});
