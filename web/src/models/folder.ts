/** @file Finds the model among files that were picked or dropped: the checkpoint of a folder, or a GGUF file with its parts. */
import type { ModelRef } from "../engine/protocol.ts";

/** A file with its path below what was picked: `FOLDER/…/FILE`, or its name alone. */
export interface PickedFile<F> {
  readonly path: string;
  readonly file: F;
}

type Picked<F> = Extract<ModelRef, { kind: "folder" }> & { readonly files: readonly (readonly [string, F])[] };

const nameOf = (path: string): string => path.slice(path.lastIndexOf("/") + 1);
const folderOf = (path: string): string => path.slice(0, path.lastIndexOf("/") + 1);
const depthOf = (path: string): number => path.split("/").length;
const isWeights = ({ path }: { readonly path: string }): boolean => path.endsWith(".safetensors");

/**
 * The files beside that config.json which is nearest to the top and has weights with it; else the GGUF files of the folder that is
 * nearest to the top.
 */
export function readPicked<F>(files: readonly PickedFile<F>[]): Picked<F> | { readonly problem: string } {
  if (files.length === 0) return { problem: "The folder is empty; pick one that holds a model." };
  const near = [...files].sort((a, b) => depthOf(a.path) - depthOf(b.path));
  const inside = (folder: string): PickedFile<F>[] => files.filter(({ path }) => path.startsWith(folder));
  const configs = near.filter(({ path }) => nameOf(path) === "config.json").map(({ path }) => folderOf(path));
  const checkpoint = configs.find((folder) => inside(folder).some(isWeights));
  if (checkpoint !== undefined) return modelOf(checkpoint, inside(checkpoint));
  const gguf = near.find(({ path }) => path.endsWith(".gguf"));
  if (gguf) return ggufModel(folderOf(gguf.path), near);
  return {
    problem:
      configs.length > 0
        ? "There are no *.safetensors and no .gguf file in it; other weight files cannot be read here."
        : "There is no config.json and no .gguf file in it; pick the folder of a Hugging Face checkpoint, or a GGUF file.",
  };
}

function ggufModel<F>(folder: string, files: readonly PickedFile<F>[]): Picked<F> | { readonly problem: string } {
  const beside = files.filter(({ path }) => folderOf(path) === folder);
  const models = new Set(
    beside
      .filter(({ path }) => path.endsWith(".gguf") && !/mmproj/i.test(nameOf(path)))
      .map(({ path }) => nameOf(path).replace(/(-\d{5}-of-\d{5})?\.gguf$/, "")),
  );
  if (models.size > 1) {
    return { problem: `There are several models in it (${[...models].sort().join(", ")}); pick the file of one.` };
  }
  return modelOf(folder, beside);
}

function modelOf<F>(folder: string, files: readonly PickedFile<F>[]): Picked<F> {
  return {
    kind: "folder",
    name: folder.split("/").filter(Boolean).at(-1) ?? "picked files",
    files: files.map(({ path, file }) => [path.slice(folder.length), file as F & File] as const),
  };
}
