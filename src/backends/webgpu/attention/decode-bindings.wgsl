// Both kernels of decode attention have these parameters and buffers.
//#insert PARAMS
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> step: array<u32>;
@group(0) @binding(2) var<storage, read> pages: array<u32>;
@group(0) @binding(3) var<storage, read> pages4: array<vec4u>;
@group(0) @binding(4) var<storage, read> residual4: array<vec4u>;
@group(0) @binding(5) var<storage, read> query: array<vec2f>;
@group(0) @binding(6) var<storage, read> centroids: array<f32>;
@group(0) @binding(7) var<storage, read_write> parts: array<f32>;
@group(0) @binding(8) var<storage, read_write> stats: array<f32>;
