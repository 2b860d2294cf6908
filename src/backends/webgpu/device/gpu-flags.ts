/** @file Flags of the WebGPU specification. In Node their globals exist only after Dawn is loaded, so the numbers are written here. */

export const BufferUsage = {
  mapRead: 0x1,
  copySrc: 0x4,
  copyDst: 0x8,
  uniform: 0x40,
  storage: 0x80,
  queryResolve: 0x200,
} as const;

export const COMPUTE_STAGE = 0x4;
export const MAP_READ = 0x1;
