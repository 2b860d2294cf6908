/** @file Builds the kernels whose sources have changed, for the CPU and for GPUs: `npm run build:kernels`. */
import "./build-wasm.ts";
import "./build-shaders.ts";
