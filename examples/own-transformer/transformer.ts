/**
 * @file A small transformer in plain TypeScript, Qwen3's, whose attention is turboquant's: everything but the cache is written out here, and keys
 * and values are kept as codes.
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

/** The tensors of a safetensors file, as f32. */
function readTensors(path: string): (name: string) => Float32Array {
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

/** w · x. w: [rows][x.length] */
function multiply(w: Float32Array, x: Float32Array): Float32Array {
  return Float32Array.from({ length: w.length / x.length }, (_, row) => {
    let sum = 0;
    for (let i = 0; i < x.length; i++) sum += w[row * x.length + i]! * x[i]!;
    return sum;
  });
}

/** RMS norm of each piece of `weight.length` values. */
function norm(x: Float32Array, weight: Float32Array, eps: number): Float32Array {
  const out = new Float32Array(x.length);
  for (let at = 0; at < x.length; at += weight.length) {
    let squares = 0;
    for (let i = 0; i < weight.length; i++) squares += x[at + i]! ** 2;
    const scale = 1 / Math.sqrt(squares / weight.length + eps);
    for (let i = 0; i < weight.length; i++) out[at + i] = x[at + i]! * scale * weight[i]!;
  }
  return out;
}

/** Turns the halves of each head by the position. */
function rope(x: Float32Array, position: number, headDim: number, theta: number): Float32Array {
  const half = headDim / 2;
  const out = new Float32Array(x.length);
  for (let at = 0; at < x.length; at += headDim) {
    for (let i = 0; i < half; i++) {
      const angle = position * theta ** (-i / half);
      const [a, b] = [x[at + i]!, x[at + half + i]!];
      out[at + i] = a * Math.cos(angle) - b * Math.sin(angle);
      out[at + half + i] = b * Math.cos(angle) + a * Math.sin(angle);
    }
  }
  return out;
}

const silu = (x: number): number => x / (1 + Math.exp(-x));

export class Transformer {
  readonly config: Config;
  readonly #tensor: (name: string) => Float32Array;
  readonly #kept = new Map<string, Float32Array>();

  /** folder: of a Qwen3 checkpoint in bf16, with tied embeddings */
  constructor(folder: string) {
    this.config = JSON.parse(readFileSync(join(folder, "config.json"), "utf8"));
    this.#tensor = readTensors(join(folder, "model.safetensors"));
  }

  /** kv: the format of the cache */
  createCache(kv: string): Promise<AttentionCache> {
    const { num_hidden_layers, num_attention_heads, num_key_value_heads, head_dim } = this.config;
    return AttentionCache.create({
      numLayers: num_hidden_layers,
      numHeads: num_attention_heads,
      numKvHeads: num_key_value_heads,
      headDim: head_dim,
      kv,
      backend: "wasm",
      threads: 1,
    });
  }

  /** Reads a token behind those that the sequence has. returns: the logits of the next one */
  async next(sequence: CachedSequence, token: number): Promise<Float32Array> {
    const { hidden_size, num_hidden_layers, head_dim, rms_norm_eps, rope_theta } = this.config;
    const embedding = this.#weight("model.embed_tokens.weight");
    const position = sequence.length;
    const stream = embedding.slice(token * hidden_size, (token + 1) * hidden_size);
    const add = (values: Float32Array): void => values.forEach((value, i) => (stream[i]! += value));
    for (let layer = 0; layer < num_hidden_layers; layer++) {
      const weight = (name: string): Float32Array => this.#weight(`model.layers.${layer}.${name}.weight`);
      const head = (name: "q" | "k", x: Float32Array): Float32Array => {
        const projected = norm(multiply(weight(`self_attn.${name}_proj`), x), weight(`self_attn.${name}_norm`), rms_norm_eps);
        return rope(projected, position, head_dim, rope_theta);
      };
      const x = norm(stream, weight("input_layernorm"), rms_norm_eps);
      // The only place where the cache comes in: keys and values are stored as codes, and read as such.
      sequence.append(layer, head("k", x), multiply(weight("self_attn.v_proj"), x));
      const attended = await sequence.attend(layer, head("q", x));
      add(multiply(weight("self_attn.o_proj"), attended));
      const y = norm(stream, weight("post_attention_layernorm"), rms_norm_eps);
      const up = multiply(weight("mlp.up_proj"), y);
      const hidden = multiply(weight("mlp.gate_proj"), y).map((gate, i) => silu(gate) * up[i]!);
      add(multiply(weight("mlp.down_proj"), hidden));
    }
    return multiply(embedding, norm(stream, this.#weight("model.norm.weight"), rms_norm_eps));
  }

  #weight(name: string): Float32Array {
    let values = this.#kept.get(name);
    if (!values) this.#kept.set(name, (values = this.#tensor(name)));
    return values;
  }
}

if (process.argv[1]?.endsWith("transformer.ts")) {
  const transformer = new Transformer(process.argv[2] ?? "node_modules/turboquant/models/qwen3-1m");
  await using cache = await transformer.createCache("k4v4");
  const sequence = cache.createSequence();
  let token = 0;
  for (let i = 0; i < 200; i++) {
    const logits = await transformer.next(sequence, token);
    token = logits.indexOf(logits.reduce((a, b) => Math.max(a, b)));
  }
  console.log(`${sequence.length} tokens in ${sequence.numBytes} bytes of ${cache.kv}`);
}
