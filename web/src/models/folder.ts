/** @file Finds the checkpoint among the files of a picked folder. */
import type { ModelRef } from "../engine/protocol.ts";

/** The fields of a File that are needed; `webkitRelativePath` is `FOLDER/…/FILE`. */
type PickedFile = Pick<File, "name" | "webkitRelativePath">;

const depthOf = (path: string): number => path.split("/").length;

/** The files beside that config.json which is nearest to the top of the folder. */
export function readFolder<F extends PickedFile>(
  files: readonly F[],
):
  | (Extract<ModelRef, { kind: "folder" }> & { files: readonly (readonly [string, F])[] })
  | { readonly problem: string } {
  if (files.length === 0) return { problem: "The folder is empty; pick the one that holds config.json." };
  const pathOf = (file: F): string => file.webkitRelativePath || file.name;
  const [config] = files
    .filter(({ name }) => name === "config.json")
    .sort((a, b) => depthOf(pathOf(a)) - depthOf(pathOf(b)));
  if (!config) return { problem: "There is no config.json in it; pick the folder of a Hugging Face checkpoint." };
  const folder = pathOf(config).slice(0, -"config.json".length);
  const inside = files.filter((file) => pathOf(file).startsWith(folder));
  const hasWeights = inside.some(({ name }) => name.endsWith(".safetensors"));
  if (!hasWeights) return { problem: "There are no *.safetensors in it; other weight files cannot be read here." };
  const name = folder.split("/").filter(Boolean).at(-1) ?? "picked files";
  return {
    kind: "folder",
    name,
    files: inside.map((file) => [pathOf(file).slice(folder.length), file as F & File] as const),
  };
}
