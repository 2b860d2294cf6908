/** @file Readers of checkpoint files (safetensors, generation config) and of the places they are stored in. */
export { BlobSource } from "./blob-source.ts";
export type { Checkpoint, TensorInfo } from "./checkpoint.ts";
export { type FileSource, type ReadOptions, readText } from "./file-source.ts";
export {
  type GenerationConfig,
  loadGenerationConfig,
  parseGenerationConfig,
  type SamplingDefaults,
  type TokenDefaults,
} from "./generation-config.ts";
export { HttpSource, type HttpSourceOptions } from "./http-source.ts";
export { type JsonObject, readJson, readJsonObject } from "./json-file.ts";
export { MemorySource } from "./memory-source.ts";
export { openCheckpoint } from "./open-checkpoint.ts";
export { openSafetensors, type SafetensorsFile } from "./safetensors.ts";
export type { StoredDtype } from "./safetensors-header.ts";
export { type TensorToWrite, writeSafetensors } from "./write-safetensors.ts";
