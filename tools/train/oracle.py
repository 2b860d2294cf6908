"""Measures TurboQuant_mse KV caches inside Transformers' attention, independently of our package.

usage: oracle.py CHECKPOINT_DIR TEXT OUT.json [--chunks 6] [--ctx 2048]
Every chunk of the text starts with an empty cache. Keys and values are quantized and dequantized before anything attends
to them, except in rows with a window and sinks, which keep the recent and the first tokens exact. Per row: perplexity,
KL(exact || quantized) in nats (mean and 99th percentile over tokens), agreement of the most likely token, and the share
of hidden five-digit codes found (needle). Needs a CUDA GPU.

The quantizer: unit vector, randomized Hadamard rotation, Lloyd-Max codebook of the density of one coordinate of a random
unit vector, exact norm. Source: TurboQuant (arXiv 2504.19874), Algorithm 1.
"""

import argparse
import functools
import json
import math
import pathlib
import random

import numpy as np
import torch
from transformers import AttentionInterface, AutoModelForCausalLM, AutoTokenizer

EXACT = 16
SIGN_SEED = 7
NEEDLE_SEED, NUM_NEEDLES, NEEDLE_CHARACTERS = 5, 60, 5200
SUBJECTS = ["the library", "the harbour", "the vault", "Alice", "Hugo", "Ruth", "the castle", "Victor"]

# (bits of keys, bits of values, window, sinks)
ROWS = [
    *((bits, bits, 0, 0) for bits in (8, 7, 6, 5, 4, 3, 2)),
    *((bits, EXACT, 0, 0) for bits in (4, 3, 2)),
    *((EXACT, bits, 0, 0) for bits in (4, 3, 2)),
    *((bits, bits, 128, 4) for bits in (4, 3, 2)),
    (8, 4, 0, 0),
    (6, 4, 0, 0),
    (4, 3, 0, 0),
    (8, 2, 0, 0),
]

# What the attention function below applies; changed between runs.
setting = {"k": EXACT, "v": EXACT, "window": 0, "sinks": 0}


@functools.cache
def codebook(dim, bits, points=200_001, iterations=2000, tolerance=1e-12):
    """Lloyd's algorithm on a fine grid of the density (1 - x^2)^((dim - 3) / 2)."""
    x = np.linspace(-1, 1, points)[1:-1]
    density = (1 - x * x) ** ((dim - 3) / 2)
    density /= density.sum()
    mass = np.concatenate([[0], np.cumsum(density)])
    moment = np.concatenate([[0], np.cumsum(density * x)])
    levels = 2**bits
    centroids = np.interp((np.arange(levels) + 0.5) / levels, mass[1:], x)
    for _ in range(iterations):
        borders = np.searchsorted(x, (centroids[1:] + centroids[:-1]) / 2)
        edges = np.concatenate([[0], borders, [len(x)]])
        weight = mass[edges[1:]] - mass[edges[:-1]]
        sums = moment[edges[1:]] - moment[edges[:-1]]
        updated = np.where(weight > 0, sums / np.maximum(weight, 1e-300), centroids)
        moved = np.abs(updated - centroids).max()
        centroids = updated
        if moved < tolerance:
            break
    return torch.tensor(centroids, dtype=torch.float32, device="cuda")


@functools.cache
def rotation(dim):
    """Hadamard matrix with random signs, orthonormal. dim: a power of two"""
    matrix = torch.ones(1, 1, device="cuda")
    while matrix.shape[0] < dim:
        matrix = torch.cat([torch.cat([matrix, matrix], 1), torch.cat([matrix, -matrix], 1)], 0)
    generator = torch.Generator(device="cuda").manual_seed(SIGN_SEED)
    signs = torch.randint(0, 2, (dim,), generator=generator, device="cuda") * 2 - 1
    return matrix / math.sqrt(dim) * signs[None, :].float()


def quantize_dequantize(x, bits):
    if bits >= EXACT:
        return x
    dim = x.shape[-1]
    centroids, matrix = codebook(dim, bits), rotation(dim)
    norm = x.norm(dim=-1, keepdim=True).clamp_min(1e-20)
    rotated = (x / norm) @ matrix.T
    quantized = centroids[torch.bucketize(rotated, (centroids[1:] + centroids[:-1]) / 2)]
    return quantized @ matrix * norm


def attention(module, query, key, value, attention_mask, scaling=None, dropout=0.0, **_):
    """query [1, heads, T, d], key and value [1, KV heads, T, d] after RoPE; causal, from position 0."""
    q, k, v = query.float(), key.float(), value.float()
    groups, length = q.shape[1] // k.shape[1], q.shape[2]

    def spread(t):
        return t.repeat_interleave(groups, 1)

    position = torch.arange(length, device=q.device)
    distance = position[:, None] - position[None, :]
    exact = ((distance < setting["window"]) | (position[None, :] < setting["sinks"])) & (distance >= 0)
    k_quantized, v_quantized = quantize_dequantize(k, setting["k"]), quantize_dequantize(v, setting["v"])
    scores = torch.where(exact, q @ spread(k).transpose(-1, -2), q @ spread(k_quantized).transpose(-1, -2)) * scaling
    weights = scores.masked_fill(distance < 0, float("-inf")).softmax(-1)
    output = (weights * exact) @ spread(v) + (weights * ~exact) @ spread(v_quantized)
    return output.transpose(1, 2).to(query.dtype).contiguous(), None


@torch.no_grad()
def measure(model, chunks, reference=None):
    """Returns (row, log-probabilities by chunk). Without a reference the row has the perplexity only."""
    losses, divergences, agreements, kept = [], [], [], []
    for index, chunk in enumerate(chunks):
        log_probs = model(input_ids=chunk[None], use_cache=False).logits[0].float().log_softmax(-1)
        losses.append(-log_probs[:-1].gather(1, chunk[1:, None])[:, 0])
        if reference is None:
            kept.append(log_probs)
        else:
            exact = reference[index]
            divergences.append((exact.exp() * (exact - log_probs)).sum(-1))
            agreements.append((exact.argmax(-1) == log_probs.argmax(-1)).float())
    row = {"ppl": math.exp(torch.cat(losses).mean().item())}
    if reference is not None:
        divergence = torch.cat(divergences)
        row["kld"] = divergence.mean().item()
        row["kld_p99"] = divergence.quantile(0.99).item()
        row["top1"] = torch.cat(agreements).mean().item()
    return row, kept


def make_needles(text, tokenizer):
    """(prompt ids, answer ids): three codes in about 1,400 tokens of prose, the first one asked for."""
    rng = random.Random(NEEDLE_SEED)
    paragraphs = [line for line in text.split("\n") if 80 < len(line) < 900]
    needles = []
    for _ in range(NUM_NEEDLES):
        body, length = [], 0
        while length < NEEDLE_CHARACTERS:
            paragraph = rng.choice(paragraphs)
            body.append(paragraph)
            length += len(paragraph)
        subjects = rng.sample(SUBJECTS, 3)
        codes = ["".join(rng.choice("0123456789") for _ in range(5)) for _ in subjects]
        for subject, code in zip(subjects, codes):
            body.insert(rng.randint(0, len(body)), f"The secret code of {subject} is {code}. Remember it.")
        prompt = (
            "<|im_start|>user\n" + "\n".join(body) + f"\nWhat is the secret code of {subjects[0]}?<|im_end|>\n"
            f"<|im_start|>assistant\nThe secret code of {subjects[0]} is"
        )
        needles.append((tokenizer.encode(prompt), tokenizer.encode(" " + codes[0])))
    return needles


@torch.no_grad()
def needle_rate(model, needles):
    """Teacher forced; a hit is every token of the answer being the most likely one."""
    hits = 0
    for prompt, answer in needles:
        ids = torch.tensor([prompt + answer], device="cuda")
        predicted = model(input_ids=ids, use_cache=False).logits[0, len(prompt) - 1 : -1].argmax(-1)
        hits += int((predicted == torch.tensor(answer, device="cuda")).all())
    return hits / len(needles)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("text", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--chunks", type=int, default=6)
    parser.add_argument("--ctx", type=int, default=2048)
    args = parser.parse_args()
    torch.backends.cuda.matmul.allow_tf32 = False

    AttentionInterface.register("turboquant_oracle", attention)
    model = AutoModelForCausalLM.from_pretrained(
        args.model, dtype=torch.float32, attn_implementation="turboquant_oracle"
    )
    model = model.cuda().eval()
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    text = args.text.read_text(encoding="utf-8")
    ids = torch.tensor(tokenizer.encode(text), device="cuda")[: args.chunks * args.ctx]
    chunks = ids.view(-1, args.ctx)
    needles = make_needles(text, tokenizer)

    base, reference = measure(model, chunks)
    rows = [{"k": EXACT, "v": EXACT, "window": 0, "sinks": 0, **base, "needle": needle_rate(model, needles)}]
    for k, v, window, sinks in ROWS:
        setting.update(k=k, v=v, window=window, sinks=sinks)
        row, _ = measure(model, chunks, reference)
        rows.append({**setting, **row, "needle": needle_rate(model, needles)})
        print(rows[-1], flush=True)
    result = {"model": args.model.name, "text": args.text.name, "chunks": args.chunks, "ctx": args.ctx, "rows": rows}
    args.out.write_text(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
