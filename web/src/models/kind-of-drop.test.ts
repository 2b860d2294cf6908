import { expect, it } from "vitest";
import { kindOfDrop } from "./kind-of-drop.ts";

it.each<[string[], ReturnType<typeof kindOfDrop>]>([
  [["a.gguf"], "model"],
  [["m/config.json", "m/README.md"], "model"],
  [["model.safetensors", "config.json"], "model"],
  [[], "model"],
  [["story.tqkv"], "cache"],
  [["report.pdf"], "documents"],
  [["config.json"], "documents"],
  [["a.md", "b.py"], "documents"],
])("%j is %s", (paths, kind) => {
  expect(kindOfDrop(paths.map((path) => ({ path })))).toBe(kind);
});
