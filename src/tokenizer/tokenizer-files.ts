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
}

/** A file that was made and never was text, such as the vocabulary of a GGUF file, becomes text here: its tables cannot be sent. */
export async function readTokenizerFiles(source: FileSource): Promise<TokenizerFiles> {
  const bytes: Record<string, Uint8Array> = {};
  for (const file of FILES) {
    // What a newer form of the file says is not looked up in the older ones.
    if (["vocab.json", "merges.txt"].includes(file) && "tokenizer.json" in bytes) continue;
    if (!(await source.has(file))) continue;
    const made = source.json?.(file);
    bytes[file] =
      made === undefined
        ? await source.read(file, 0, await source.size(file))
        : new TextEncoder().encode(JSON.stringify(made));
  }
  return { name: source.name, bytes };
}

/** What `loadTokenizer` reads them from. */
export const tokenizerFilesSource = ({ name, bytes }: TokenizerFiles): FileSource => new MemorySource(bytes, name);
