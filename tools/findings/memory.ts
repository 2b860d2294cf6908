/** @file Tables on bytes: compression ratios of formats, compression by context, and the memory of two Qwen3 models. */
import { comparedSize } from "../../src/cli/format.ts";
import { formatBytes, formatCount } from "../../src/format-number.ts";
import { shapeConfig } from "../../src/models/shapes.ts";
import { CacheMemory } from "../../src/plan/cache-memory.ts";
import { modelOfConfig } from "../../src/plan/planned-model.ts";
import { weightMemory } from "../../src/plan/weight-memory.ts";
import { parseKvSpec } from "../../src/quant/parse-kv-spec.ts";
import { figures } from "./table.ts";

const shape = (name: string) => modelOfConfig(shapeConfig(name), name);
const cacheOf = (name: string, kv: string): CacheMemory => new CacheMemory(shape(name), parseKvSpec(kv));
const GB = 1e9;

/** Bytes of a key and a value of one head at head_dim 128, each with its f16 scale. */
export function compressionRatios(): string {
  const perHead = (kv: string): number => cacheOf("qwen3-32b", kv).bytesPerToken / (64 * 8);
  const f16 = perHead("f16");
  const formats = [
    "f16",
    "paper-4,v=f16",
    "paper-2,v=f16",
    "paper-7",
    "paper-6",
    "paper-5",
    "paper-4",
    "paper-3",
    "paper-2",
    "paper-1",
  ];
  return figures(
    ["kv", "bytes of K and V", "compression"],
    formats.map((kv) => [kv, String(perHead(kv)), `${(f16 / perHead(kv)).toFixed(2)}×`]),
  );
}

/**
 * For the shape of Qwen3-0.6B. The rotation is either a vector of
 * signs for each layer, or one matrix of head_dim² f16 for all layers.
 */
export function compressionByContext(): string {
  const name = "qwen3-0.6b";
  const rows = [1024, 4096, 16_384, 65_536].map((tokens) => {
    const f16 = cacheOf(name, "f16").bytes(tokens);
    const matrix = 2 * 128 * 128;
    const share = matrix / cacheOf(name, "paper-4").bytes(tokens);
    return [
      formatCount(tokens),
      ...["paper-4", "k4v4", "k4v4,sinks=0,window=0"].map((kv) => comparedSize(cacheOf(name, kv).bytes(tokens), f16)),
      `${(100 * share).toFixed(3)} %`,
    ];
  });
  return figures(
    ["tokens", "paper-4", "k4v4 (window 144)", "k4v4 without window", "a dense rotation, of paper-4's cache"],
    rows,
  );
}

/** The article's projection for Qwen3-32B on 128 GB, beside the result for the model's actual config. */
export function memoryTable(): string {
  const article = [
    [131_072, 85.5, 69.5],
    [262_144, 106.9, 75.1],
    [524_288, 149.9, 86.1],
    [1_048_576, 235.8, 108.3],
  ] as const;
  const weights = weightMemory(shape("qwen3-32b"), "bf16", "webgpu").bytes;
  const total = (kv: string, tokens: number): number => weights + cacheOf("qwen3-32b", kv).bytes(tokens);
  const fits = (bytes: number): string => `${formatBytes(bytes)} ${bytes <= 128 * GB ? "✓" : "✗"}`;
  return figures(
    ["tokens", "f16, article", "f16", "4 bits, article", "paper-4", "k4v4"],
    article.map(([tokens, f16, tq4]) => [
      formatCount(tokens),
      fits(f16 * GB),
      fits(total("f16", tokens)),
      fits(tq4 * GB),
      fits(total("paper-4", tokens)),
      fits(total("k4v4", tokens)),
    ]),
  );
}

export function smallModelMemory(): string {
  const name = "qwen3-0.6b";
  const bytes = (kv: string): string => formatBytes(cacheOf(name, kv).bytes(2048));
  return figures(
    ["Qwen3-0.6B, 2,048 tokens", "article", "here"],
    [
      ["weights, 16 bit", "2.6 GB", formatBytes(weightMemory(shape(name), "bf16", "webgpu").bytes)],
      ["KV cache, f16", "235 MB", bytes("f16")],
      ["KV cache, 4 bits as published", "61 MB", bytes("paper-4")],
      ["KV cache, k4v4 with its window", "not tried", bytes("k4v4")],
    ],
  );
}
