/** @file Schemas of JSON Schema's own test suite, and random ones that are made of two of them. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { draw } from "./prompts.ts";

/** Folders of the suite whose schemas are taken, by the dialect that they are in. */
export const DIALECTS = {
  "draft2020-12": "https://json-schema.org/draft/2020-12/schema",
  draft7: "http://json-schema.org/draft-07/schema#",
} as const;
export type Draft = keyof typeof DIALECTS;

export interface SuiteSchema {
  readonly draft: Draft;
  /** File and description of the suite; of both parts, where it is made of two. */
  readonly name: string;
  readonly schema: boolean | Readonly<Record<string, unknown>>;
  readonly isComposed: boolean;
}

/**
 * The different schemas of the mandatory tests; those of optional folders are left out. Each names its dialect, which in the suite its folder does.
 *
 * folder: a clone of the suite
 * @throws Error — no such folder, or a file that is no test
 */
export function suiteSchemas(folder: string): SuiteSchema[] {
  const schemas = new Map<string, SuiteSchema>();
  for (const draft of Object.keys(DIALECTS) as Draft[]) {
    const tests = join(folder, "tests", draft);
    for (const file of readdirSync(tests).sort()) {
      if (!file.endsWith(".json")) continue;
      for (const { description, schema } of JSON.parse(readFileSync(join(tests, file), "utf8"))) {
        const whole = typeof schema === "boolean" ? schema : { $schema: DIALECTS[draft], ...schema };
        const key = `${draft} ${JSON.stringify(whole)}`;
        if (schemas.has(key)) continue;
        schemas.set(key, { draft, name: `${draft}/${file}: ${description}`, schema: whole, isComposed: false });
      }
    }
  }
  return [...schemas.values()];
}

/** A seeded order of all. */
export function shuffled<T>(values: readonly T[], seed: number): T[] {
  const order = [...values];
  for (let i = order.length - 1; i > 0; i--) {
    const j = draw(seed, i, i + 1);
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  return order;
}

/** What a schema means that stands within another one must not depend on where it stands. */
const isMovable = ({ schema }: SuiteSchema): boolean =>
  !/"\$(?:id|ref|dynamicRef|anchor)"/.test(JSON.stringify(schema));

/**
 * The i-th random schema of two others of one draft: an object, a list or a choice of them.
 *
 * schemas: those to choose from
 */
export function composedSchema(schemas: readonly SuiteSchema[], seed: number, i: number): SuiteSchema {
  const movable = schemas.filter(isMovable);
  const first = movable[draw(seed, 3 * i, movable.length)]!;
  const { draft } = first;
  const same = movable.filter((one) => one.draft === draft);
  const second = same[draw(seed, 3 * i + 1, same.length)]!;
  const parts = [first, second].map(({ schema }) => {
    if (typeof schema === "boolean") return schema;
    const { $schema, ...inner } = schema;
    return inner;
  });
  const [a, b] = parts;
  const list = draft === "draft7" ? { items: parts, additionalItems: false } : { prefixItems: parts, items: false };
  const [kind, schema] = [
    ["object", { type: "object", properties: { a, b }, required: ["a", "b"], additionalProperties: false }],
    ["list", { type: "array", ...list, minItems: 2 }],
    ["choice", { anyOf: parts }],
  ][draw(seed, 3 * i + 2, 3)] as [string, object];
  return {
    draft,
    name: `${kind} of ${first.name} and ${second.name}`,
    schema: { $schema: DIALECTS[draft], ...schema },
    isComposed: true,
  };
}
