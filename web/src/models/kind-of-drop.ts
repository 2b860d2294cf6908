/** @file What files that were dropped together are: a model, a saved cache, or documents. */
import type { PickedFile } from "./folder.ts";

/** What a set of files is meant to be. A folder, and files of the kinds that models have, are a model. */
export function kindOfDrop(files: readonly Pick<PickedFile<unknown>, "path">[]): "model" | "cache" | "documents" {
  const isOfModel = ({ path }: { readonly path: string }): boolean =>
    path.includes("/") || /\.(gguf|safetensors)$/i.test(path);
  if (files.length === 0 || files.some(isOfModel)) return "model";
  return files.length === 1 && files[0]!.path.endsWith(".tqkv") ? "cache" : "documents";
}
