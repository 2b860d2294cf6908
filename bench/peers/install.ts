/**
 * @file Packages of the peers, installed into bench/peers/node_modules when they are missing: 100 MB. They are no dependencies of
 * the package, and of llama.cpp only the build for this machine's CPU is fetched; with all builds it takes 730 MB.
 */
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

export const HERE = fileURLToPath(new URL(".", import.meta.url));
export const manifestOf = (name: string): string => join(HERE, "node_modules", name, "package.json");

const readJson = (path: string): Record<string, never> => JSON.parse(readFileSync(path, "utf8"));

/** The package of node-llama-cpp with the CPU build for this machine. */
function cpuBuild(): string {
  const os = { linux: "linux", darwin: "mac", win32: "win" }[process.platform as string] ?? process.platform;
  const metal = os === "mac" && process.arch === "arm64" ? "-metal" : "";
  return `@node-llama-cpp/${os}-${process.arch}${metal}`;
}

/** Installs what is missing, once; a machine without a package registry gets the command to run where there is one. */
export function installPeers(): void {
  const build = cpuBuild();
  const wanted: Readonly<Record<string, string>> = readJson(join(HERE, "package.json"))["dependencies"]!;
  if ([build, ...Object.keys(wanted)].every((name) => existsSync(manifestOf(name)))) return;
  const flags = ["--omit=optional", "--no-save", "--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund"];
  const args = ["install", ...flags, `${build}@${wanted["node-llama-cpp"]}`];
  console.error(`peers: installing into ${HERE}node_modules: npm ${args.join(" ")}`);
  const { status } = spawnSync("npm", args, { cwd: HERE, stdio: ["ignore", 2, 2] });
  if (status === 0) return;
  console.error("peers: npm install failed; run the line above where a package registry can be reached");
  process.exit(2);
}

export const versionOf = (name: string): string => readJson(manifestOf(name))["version"]!;
