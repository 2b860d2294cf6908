/**
 * @file A small transformer in WGSL, Qwen3's, whose attention is turboquant's: keys, values and queries go from its buffers into the compressed
 * cache and come back into a buffer, on one device and in one queue. Nothing is read back but the logits.
 *
 *     npx tsx transformer.ts node_modules/turboquant/models/qwen3-1m
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { AttentionCache, type CachedSequence } from "turboquant";

interface Config {
  readonly hidden_size: number;
  readonly num_hidden_layers: number;
  readonly num_attention_heads: number;
  readonly num_key_value_heads: number;
  readonly head_dim: number;
  readonly intermediate_size: number;
  readonly vocab_size: number;
  readonly rms_norm_eps: number;
  readonly rope_theta: number;
}

/** Kernels of a token. All have two inputs and an output; how long rows are they see from the lengths of their buffers. */
const WGSL = /* wgsl */ `
@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read_write> out: array<f32>;
override EPS: f32 = 1e-6;

// out += a · b. a: [rows][columns]
@compute @workgroup_size(64) fn multiply(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= arrayLength(&out)) { return; }
  let columns = arrayLength(&b);
  var sum = 0.0;
  for (var i = 0u; i < columns; i++) { sum += a[id.x * columns + i] * b[i]; }
  out[id.x] += sum;
}

// out = RMS norm of each piece of a, times the weight b
@compute @workgroup_size(64) fn norm(@builtin(global_invocation_id) id: vec3u) {
  let width = arrayLength(&b);
  let first = id.x * width;
  if (first >= arrayLength(&a)) { return; }
  var squares = 0.0;
  for (var i = 0u; i < width; i++) { squares += a[first + i] * a[first + i]; }
  let scale = inverseSqrt(squares / f32(width) + EPS);
  for (var i = 0u; i < width; i++) { out[first + i] = a[first + i] * scale * b[i]; }
}

// out = heads of a, their halves turned by the angles b: cos and sin of each pair
@compute @workgroup_size(64) fn turn(@builtin(global_invocation_id) id: vec3u) {
  if (id.x * 2u >= arrayLength(&a)) { return; }
  let half = arrayLength(&b) / 2u;
  let pair = id.x % half;
  let first = (id.x / half) * half * 2u + pair;
  let c = b[2u * pair];
  let s = b[2u * pair + 1u];
  out[first] = a[first] * c - a[first + half] * s;
  out[first + half] = a[first + half] * c + a[first] * s;
}

// out = silu(a) · b
@compute @workgroup_size(64) fn gate(@builtin(global_invocation_id) id: vec3u) {
  if (id.x >= arrayLength(&out)) { return; }
  out[id.x] = a[id.x] / (1.0 + exp(-a[id.x])) * b[id.x];
}
`;

type Kernel = "multiply" | "norm" | "turn" | "gate";

/** The tensors of a safetensors file, as f32. */
function readTensors(path: string): (name: string) => Float32Array<ArrayBuffer> {
  const file = readFileSync(path);
  const headerBytes = Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.toString("utf8", 8, 8 + headerBytes));
  return (name) => {
    const [start, end] = header[name].data_offsets.map((offset: number) => 8 + headerBytes + offset);
    // bf16 is the upper half of f32.
    const bits = Uint32Array.from({ length: (end - start) / 2 }, (_, i) => file.readUInt16LE(start + 2 * i) << 16);
    return new Float32Array(bits.buffer);
  };
}

export class Transformer {
  readonly config: Config;
  readonly cache: AttentionCache;
  readonly #device: GPUDevice;
  readonly #tensor: (name: string) => Float32Array<ArrayBuffer>;
  readonly #buffers = new Map<string, GPUBuffer>();
  readonly #layout: GPUBindGroupLayout;
  readonly #pipelines = new Map<Kernel, GPUComputePipeline>();

  private constructor(folder: string, config: Config, cache: AttentionCache) {
    this.config = config;
    this.cache = cache;
    // The cache's device, or one of yours: AttentionCache.create({ device, … }).
    this.#device = cache.device!;
    this.#tensor = readTensors(join(folder, "model.safetensors"));
    this.#layout = this.#device.createBindGroupLayout({
      entries: (["read-only-storage", "read-only-storage", "storage"] as const).map((type, binding) => ({
        ...{ binding, visibility: GPUShaderStage.COMPUTE, buffer: { type } },
      })),
    });
  }

  /** folder: of a Qwen3 checkpoint in bf16, with tied embeddings · kv: the format of the cache */
  static async load(folder: string, kv: string): Promise<Transformer> {
    const config: Config = JSON.parse(readFileSync(join(folder, "config.json"), "utf8"));
    const cache = await AttentionCache.create({
      numLayers: config.num_hidden_layers,
      numHeads: config.num_attention_heads,
      numKvHeads: config.num_key_value_heads,
      headDim: config.head_dim,
      kv,
      backend: "webgpu",
    });
    return new Transformer(folder, config, cache);
  }

  /** Reads a token behind those that the sequence has. returns: the logits of the next one */
  async next(sequence: CachedSequence, token: number): Promise<Float32Array> {
    const { config } = this;
    const { hidden_size: hidden, head_dim: headDim, intermediate_size: inner, vocab_size: vocabulary } = config;
    const [queries, keys] = [config.num_attention_heads * headDim, config.num_key_value_heads * headDim];
    const { queue } = this.#device;
    const accepted: Promise<void>[] = [];
    const buffer = (name: string, length: number): GPUBuffer => this.#buffer(name, length);
    const [stream, x, attended] = [buffer("stream", hidden), buffer("x", hidden), buffer("attended", queries)];
    const angles = buffer("angles", headDim);
    queue.writeBuffer(angles, 0, anglesOf(sequence.length, headDim, config.rope_theta));

    let encoder = this.#device.createCommandEncoder();
    const run = (kernel: Kernel, threads: number, ...buffers: [GPUBuffer, GPUBuffer, GPUBuffer]): void =>
      this.#run(encoder, kernel, threads, buffers);
    const submit = (): void => {
      queue.submit([encoder.finish()]);
      encoder = this.#device.createCommandEncoder();
    };
    /** A product alone. */
    const product = (weight: GPUBuffer, from: GPUBuffer, name: string, rows: number): GPUBuffer => {
      const out = buffer(name, rows);
      encoder.clearBuffer(out);
      run("multiply", rows, weight, from, out);
      return out;
    };

    const embedding = this.#weight("model.embed_tokens");
    encoder.copyBufferToBuffer(embedding, token * hidden * 4, stream, 0, hidden * 4);
    for (let layer = 0; layer < config.num_hidden_layers; layer++) {
      const weight = (name: string): GPUBuffer => this.#weight(`model.layers.${layer}.${name}`);
      const heads = (name: "q" | "k", width: number): GPUBuffer => {
        const projected = product(weight(`self_attn.${name}_proj`), x, `${name} projected`, width);
        const [normed, turned] = [buffer(`${name} normed`, width), buffer(name, width)];
        run("norm", width / headDim, projected, weight(`self_attn.${name}_norm`), normed);
        run("turn", width / 2, normed, angles, turned);
        return turned;
      };
      run("norm", 1, stream, weight("input_layernorm"), x);
      const [q, k, v] = [heads("q", queries), heads("k", keys), product(weight("self_attn.v_proj"), x, "v", keys)];
      // The only place where the cache comes in: it copies what was submitted, and what is submitted next reads what it gives.
      submit();
      sequence.append(layer, k, v);
      accepted.push(sequence.attend(layer, q, attended));
      run("multiply", hidden, weight("self_attn.o_proj"), attended, stream);
      run("norm", 1, stream, weight("post_attention_layernorm"), x);
      const [gates, up] = ["gate", "up"].map((name) => product(weight(`mlp.${name}_proj`), x, name, inner));
      run("gate", inner, gates!, up!, buffer("inner", inner));
      run("multiply", hidden, weight("mlp.down_proj"), buffer("inner", inner), stream);
    }
    run("norm", 1, stream, this.#weight("model.norm"), x);
    const logits = product(embedding, x, "logits", vocabulary);
    const copy = this.#device.createBuffer({ size: logits.size, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST });
    encoder.copyBufferToBuffer(logits, 0, copy, 0, logits.size);
    submit();
    await Promise.all([copy.mapAsync(GPUMapMode.READ), ...accepted]);
    const values = new Float32Array(copy.getMappedRange().slice(0));
    copy.destroy();
    return values;
  }

  #run(encoder: GPUCommandEncoder, kernel: Kernel, threads: number, buffers: readonly GPUBuffer[]): void {
    const pass = encoder.beginComputePass();
    pass.setPipeline(this.#pipeline(kernel));
    const entries = buffers.map((buffer, binding) => ({ binding, resource: { buffer } }));
    pass.setBindGroup(0, this.#device.createBindGroup({ layout: this.#layout, entries }));
    pass.dispatchWorkgroups(Math.ceil(threads / 64));
    pass.end();
  }

  #pipeline(kernel: Kernel): GPUComputePipeline {
    let pipeline = this.#pipelines.get(kernel);
    if (!pipeline) {
      const module = this.#device.createShaderModule({ code: WGSL });
      const constants = kernel === "norm" ? { EPS: this.config.rms_norm_eps } : {};
      const layout = this.#device.createPipelineLayout({ bindGroupLayouts: [this.#layout] });
      pipeline = this.#device.createComputePipeline({ layout, compute: { module, entryPoint: kernel, constants } });
      this.#pipelines.set(kernel, pipeline);
    }
    return pipeline;
  }

  /** COPY_SRC and COPY_DST are what the cache needs of a buffer; STORAGE is for the kernels above. */
  #buffer(name: string, length: number): GPUBuffer {
    let buffer = this.#buffers.get(name);
    if (!buffer) {
      const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
      buffer = this.#device.createBuffer({ label: name, size: 4 * length, usage });
      this.#buffers.set(name, buffer);
    }
    return buffer;
  }

  #weight(name: string): GPUBuffer {
    const known = this.#buffers.get(name);
    if (known) return known;
    const values = this.#tensor(`${name}.weight`);
    const buffer = this.#buffer(name, values.length);
    this.#device.queue.writeBuffer(buffer, 0, values);
    return buffer;
  }
}

/** cos and sin of each pair of a head at a position. */
function anglesOf(position: number, headDim: number, theta: number): Float32Array<ArrayBuffer> {
  const values = new Float32Array(headDim);
  for (let pair = 0; pair < headDim / 2; pair++) {
    const angle = position * theta ** ((-2 * pair) / headDim);
    values.set([Math.cos(angle), Math.sin(angle)], 2 * pair);
  }
  return values;
}

if (process.argv[1]?.endsWith("transformer.ts")) {
  const transformer = await Transformer.load(process.argv[2] ?? "node_modules/turboquant/models/qwen3-1m", "k4v4");
  const sequence = transformer.cache.createSequence();
  let token = 0;
  for (let i = 0; i < 200; i++) {
    const logits = await transformer.next(sequence, token);
    token = logits.indexOf(logits.reduce((a, b) => Math.max(a, b)));
  }
  console.log(`${sequence.length} tokens in ${sequence.numBytes} bytes of ${transformer.cache.kv}`);
  await transformer.cache.dispose();
}
