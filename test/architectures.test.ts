/** @file Logits of tiny checkpoints of every architecture against Transformers: in one go, in chunks and token by token. */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "vitest";
import "../src/node/install.ts";
import { LLM } from "../src/index.ts";
import { supportedTypes } from "../src/models/registry.ts";
import { expectGolden, goldenOf } from "./support/architecture-golden.ts";
import { sharedPath } from "./support/shared.ts";

const roots = ["fixtures", "fixtures2"].flatMap((folder) => sharedPath(folder) ?? []);
const supported = new Set(supportedTypes());
const paths = roots.flatMap((root) =>
  readdirSync(root)
    .filter((name) => supported.has(name))
    .map((name) => [name, join(root, name)] as const),
);

describe.skipIf(paths.length === 0)(`architectures${paths.length > 0 ? "" : " (fixtures not present)"}`, () => {
  describe.each(paths)("%s", (_name, path) => {
    it.each(["reference", "wasm"] as const)("%s", async (backend) => {
      await using llm = await LLM.load(path, { kv: "f32", threads: 1, backend });
      const golden = goldenOf(path);
      await expectGolden(llm, golden, golden.ids.length);
      if (backend === "reference") return;
      await expectGolden(llm, golden, 37, 1);
      await expectGolden(llm, golden, 1, 1);
    });
  });
});
