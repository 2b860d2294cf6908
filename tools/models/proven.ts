/**
 * @file Which families were proven right on a backend that `npm test` runs only some of them on: logits of a small model agree with those
 * of Transformers for a prompt in one go, in pieces and token by token.
 */
import { readFileSync, writeFileSync } from "node:fs";

const FILE = new URL("../../test/fixtures/proven.json", import.meta.url);

/** Model types by backend, and kinds of state (test/webgpu-kinds-of-state.test.ts). Backends that are not named here run every family in every test. */
type Proven = Readonly<Record<string, readonly string[]>>;

const read = (): Proven => JSON.parse(readFileSync(FILE, "utf8")) as Proven;

/** null: a backend on which every family runs in every test */
export function provenOn(backend: string): ReadonlySet<string> | null {
  const types = read()[backend];
  return types ? new Set(types) : null;
}

/** Writes down that a model was right on a backend, or was not. */
export function recordProof(backend: string, modelType: string, isRight: boolean): void {
  const proven = read();
  const types = new Set(proven[backend]);
  if (isRight) types.add(modelType);
  else types.delete(modelType);
  writeFileSync(FILE, `${JSON.stringify({ ...proven, [backend]: [...types].sort() }, null, 2)}\n`);
}
