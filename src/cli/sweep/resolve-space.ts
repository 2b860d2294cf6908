/** @file Finds the search space that a command line means (shipped, a file, or a store's) and applies the flags to it. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { closest } from "../../closest.ts";
import { TurboQuantError } from "../../errors.ts";
import { checkSpace, parseSpace, type SearchSpace } from "../../lab/space-schema.ts";
import { packageRoot } from "../../node/package-root.ts";

const EXTENSION = ".jsonc";

/** Names of the search spaces in the package's `lab/`. */
export function shippedSpaces(): string[] {
  return readdirSync(join(packageRoot(), "lab"))
    .filter((file) => file.endsWith(EXTENSION))
    .map((file) => file.slice(0, -EXTENSION.length))
    .sort();
}

/**
 * name: a shipped space, or the path of a file
 * @throws TurboQuantError — neither, or not a search space
 */
export function readSpace(name: string): SearchSpace {
  const shipped = shippedSpaces();
  const path = shipped.includes(name) ? join(packageRoot(), "lab", `${name}${EXTENSION}`) : name;
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    const hint = closest(name, shipped);
    throw new TurboQuantError(
      "invalid_argument",
      `--space ${name}: expected a file or one of ${shipped.join(", ")} (${(cause as NodeJS.ErrnoException).code})` +
        (hint ? `; did you mean ${hint}?` : "; check the path"),
      { name },
      { cause },
    );
  }
  return parseSpace(text, path);
}

export interface SpaceFlags {
  readonly model?: readonly string[];
  readonly ctx?: readonly number[];
  readonly text?: string;
  readonly chunks?: number;
  readonly needle?: number;
  readonly strategy?: string;
  readonly objective?: string;
  readonly seed?: number;
  readonly runs?: number;
  readonly minutes?: number;
  readonly skipImpossible?: boolean;
}

/** The space with settings replaced by those of the command line. `--model` and `--ctx` apply to every part. */
export function withFlags(space: SearchSpace, flags: SpaceFlags): SearchSpace {
  const { model, ctx, text, chunks, needle, strategy, objective, seed, runs, minutes } = flags;
  const changed = {
    ...space,
    ...(text !== undefined && { text }),
    ...(chunks !== undefined && { chunks }),
    ...(needle !== undefined && { needle }),
    ...(strategy !== undefined && strategy !== space.strategy.kind && { strategy }),
    ...(objective !== undefined && { objective: { ...space.objective, minimize: objective } }),
    ...(seed !== undefined && { seed }),
    ...(flags.skipImpossible && { impossible: "skip" }),
    budget: {
      ...space.budget,
      ...(runs !== undefined && { runs }),
      ...(minutes !== undefined && { minutes }),
    },
    parts: space.parts.map((part) => ({
      ...part,
      parameters: { ...part.parameters, ...(model && { model: [...model] }), ...(ctx && { ctx: [...ctx] }) },
    })),
  };
  return checkSpace(changed, `space ${space.name} with the flags of the command`);
}
