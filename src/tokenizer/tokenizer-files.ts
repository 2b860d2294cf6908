/** @file The files that a tokenizer is loaded from, as a value that can be sent to another thread. */
import type { FileSource } from "../formats/file-source.ts";
import { MemorySource } from "../formats/memory-source.ts";

const FILES = [
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "vocab.json",
  "merges.txt",
  "tokenizer.model",
  "chat_template.jinja",
  "chat_template.json",
  "additional_chat_templates/tool_use.jinja",
];

export interface TokenizerFiles {
  /** For messages. */
  readonly name: string;
  readonly bytes: Readonly<Record<string, Uint8Array>>;
  /** Those that were made and never were text. */
  readonly made: Readonly<Record<string, unknown>>;
}

export async function readTokenizerFiles(source: FileSource): Promise<TokenizerFiles> {
  const bytes: Record<string, Uint8Array> = {};
  const made: Record<string, unknown> = {};
  for (const file of FILES) {
    // What a newer form of the file says is not looked up in the older ones.
    if (["vocab.json", "merges.txt"].includes(file) && ("tokenizer.json" in bytes || "tokenizer.json" in made))
      continue;
    if (!(await source.has(file))) continue;
    const json = source.json?.(file);
    if (json === undefined) bytes[file] = await source.read(file, 0, await source.size(file));
    else made[file] = json;
  }
  return { name: source.name, bytes, made };
}

/** What `loadTokenizer` reads them from. */
export function tokenizerFilesSource({ name, bytes, made }: TokenizerFiles): FileSource {
  const source = new MemorySource(bytes, name);
  return {
    name,
    has: async (file) => Object.hasOwn(made, file) || (await source.has(file)),
    json: (file) => (Object.hasOwn(made, file) ? made[file] : undefined),
    size: (file) => source.size(file),
    read: (file, start, end) => source.read(file, start, end),
    close: () => source.close(),
  };
}
