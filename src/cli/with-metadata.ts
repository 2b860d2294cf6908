/** @file Reading of a model's files but its weights, with progress, and closing them whatever comes of it. */
import type { FileSource } from "../formats/file-source.ts";
import { openMetadataSource } from "../node/metadata-source.ts";
import { type CommandContext, progressOf } from "./context.ts";

/** ref: as `-m` takes it · returns: what `read` made of the files · throws what opening and `read` throw */
export async function withMetadata<T>(
  ref: string,
  flags: { readonly quiet?: boolean },
  context: CommandContext,
  read: (source: FileSource) => Promise<T>,
): Promise<T> {
  const progress = progressOf(context, flags);
  try {
    const source = await openMetadataSource(ref, { onProgress: progress.onEvent, signal: context.signal });
    try {
      return await read(source);
    } finally {
      await source.close();
    }
  } finally {
    progress.clear();
  }
}
