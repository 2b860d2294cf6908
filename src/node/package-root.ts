/** @file Finds files that are shipped with the package, both from the sources and from the build. */
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/** Checkpoints in the package's `models/`. The first one is the default of every command. */
export const EMBEDDED_MODELS = ["qwen3-3m", "qwen3-1m"] as const;

let cached: string | undefined;

/** The directory of our package.json: the nearest one above this file with our name. */
export function packageRoot(): string {
  if (cached !== undefined) return cached;
  for (let directory = dirname(fileURLToPath(import.meta.url)); ; directory = dirname(directory)) {
    const manifest = join(directory, "package.json");
    if (existsSync(manifest) && JSON.parse(readFileSync(manifest, "utf8")).name === "turboquant")
      return (cached = directory);
    if (directory === dirname(directory))
      throw new Error(
        "turboquant: package.json not found above the package's own files; a bundler has put them elsewhere: leave the package out of the server's bundle (with Next: serverExternalPackages: [\"turboquant\"])",
      );
  }
}

/** Directory of an embedded model; undefined for any other name, or when the package was installed without models. */
export function embeddedModelDirectory(name: string): string | undefined {
  if (!(EMBEDDED_MODELS as readonly string[]).includes(name)) return undefined;
  const directory = join(packageRoot(), "models", name);
  return existsSync(join(directory, "config.json")) ? directory : undefined;
}
