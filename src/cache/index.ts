/** @file The KV cache as a library: pages, sequences, snapshots. The formats and the code that writes rows are in `turboquant/quant`. */
export { BlockTable } from "./block-table.ts";
export { KvCache } from "./kv-cache.ts";
export { hasResidual, type LayerCache } from "./layer-cache.ts";
export { MemoryPageStorage } from "./memory-storage.ts";
export { specOfVersion2 } from "./older-specs.ts";
export { PagePool } from "./page-pool.ts";
export type { PageAddress, PageStorage } from "./page-storage.ts";
export { reorderBeams } from "./reorder-beams.ts";
export { bytesOfSegments, type LayerSegments, segmentsOf } from "./segments.ts";
export { Sequence } from "./sequence.ts";
export {
  readSnapshotHeader,
  restoreSequence,
  SNAPSHOT_VERSION,
  type SnapshotHeader,
  type SnapshotIdentity,
  saveSequence,
  snapshotParts,
} from "./snapshot.ts";
export type { KvShape, LayerShape, RecurrentShape, StateShape } from "./states/state-shape.ts";
