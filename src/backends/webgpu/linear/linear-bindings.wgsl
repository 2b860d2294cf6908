// Matrix products that read weights as they are stored have these parameters and buffers; `weight_unit` reads the weight's type.
//#insert PARAMS
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> words: array<WORD>;
@group(0) @binding(2) var<storage, read> scales: array<SCALE>;
@group(0) @binding(3) var<storage, read> x: array<XTYPE>;
@group(0) @binding(4) var<storage, read> bias: array<f32>;
@group(0) @binding(5) var<storage, read_write> out: array<f32>;
//#insert WEIGHT
