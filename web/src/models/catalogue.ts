/** @file Models on the hub that are a good first choice, by size, and whether this device is likely to hold them. */

export interface CatalogueModel {
  readonly ref: string;
  readonly name: string;
  /** Of the files that are fetched, about. */
  readonly bytes: number;
  readonly note: string;
}

export const CATALOGUE: readonly CatalogueModel[] = [
  {
    ref: "HuggingFaceTB/SmolLM2-135M-Instruct",
    name: "SmolLM2 135M",
    bytes: 0.27e9,
    note: "small talk, on any device",
  },
  {
    ref: "Qwen/Qwen2.5-0.5B-Instruct-GGUF:Q4_K_M",
    name: "Qwen2.5 0.5B",
    bytes: 0.49e9,
    note: "short answers, many languages",
  },
  { ref: "Qwen/Qwen3-0.6B-GGUF:Q8_0", name: "Qwen3 0.6B", bytes: 0.64e9, note: "thinks before it answers" },
  { ref: "Qwen/Qwen2.5-1.5B-Instruct-GGUF:Q4_K_M", name: "Qwen2.5 1.5B", bytes: 1.12e9, note: "documents, code" },
  { ref: "Qwen/Qwen3-1.7B-GGUF:Q8_0", name: "Qwen3 1.7B", bytes: 1.83e9, note: "documents, thinks" },
  { ref: "Qwen/Qwen3-4B-GGUF:Q4_K_M", name: "Qwen3 4B", bytes: 2.5e9, note: "the best of these, on a graphics card" },
];

export interface Device {
  /** Memory of the device; null where the browser does not say. */
  readonly memoryBytes: number | null;
  readonly hasGpu: boolean;
}

/** What a browser leaves of a device's memory to one page. */
const USABLE_SHARE = 0.6;
/** WebAssembly has 32-bit addresses, and the cache needs room beside the weights. */
const MOST_ON_CPU = 3.5e9;
/** Weights as they are computed with, tokenizer and a cache of a few thousand tokens, beside the bytes of the files. */
const BESIDE = 1.25;

/** Browsers name at most 8 GB, however much there is. */
const MOST_THAT_IS_SAID = 8;

export function thisDevice(): Device {
  const { deviceMemory } = navigator as Navigator & { readonly deviceMemory?: number };
  return { memoryBytes: deviceMemory ? deviceMemory * 2 ** 30 : null, hasGpu: "gpu" in navigator };
}

/** null: nobody knows */
export function fitsDevice({ bytes }: Pick<CatalogueModel, "bytes">, { memoryBytes, hasGpu }: Device): boolean | null {
  const needed = bytes * BESIDE;
  if (!hasGpu && needed > MOST_ON_CPU) return false;
  if (memoryBytes === null) return null;
  return needed <= memoryBytes * USABLE_SHARE || memoryBytes >= MOST_THAT_IS_SAID * 2 ** 30;
}
