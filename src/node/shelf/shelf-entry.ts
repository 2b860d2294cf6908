/** @file What a list of models says of each. */

export interface ShelfEntry {
  /** As `--model` takes it. */
  readonly name: string;
  readonly origin: "package" | "hub" | "llama.cpp" | "ollama";
  readonly format: "safetensors" | "gguf";
  /** Of a GGUF file, as far as a name says it. */
  readonly quant: string | null;
  /** Of the files that belong to it, other models of the repository not counted. */
  readonly bytes: number;
  /** The GGUF file, or the folder. */
  readonly path: string;
  /** Commit on the hub. */
  readonly revision: string | null;
  /** When its last file came, in milliseconds. */
  readonly modified: number;
  /** False for what a stopped download has left; `pull` goes on with it. */
  readonly isWhole: boolean;
}
