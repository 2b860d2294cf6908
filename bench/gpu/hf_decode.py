"""Decoding with Hugging Face transformers, fp16, Qwen3-0.6B's shape: `python3 bench/gpu/hf_decode.py >>rows.jsonl`.

Weights, keys and values are random; the logits of each mode are compared with those of `eager` (logitsError).
  eager     the usual way: a DynamicCache that grows by a token each step
  graph     a CUDA graph over a StaticCache, masked as transformers does it (the mask makes it copy K and V for each query head)
  graph, mask false     the same without the mask, which a cache that is just full does not need: the best case
  compile, mask false   the same, the forward pass through torch.compile first
A step of the static modes always writes the cache's last slot, so each one is a step at exactly that context.
"""

import argparse
import gc
import statistics
import time

import torch
import transformers
from transformers import DynamicCache, Qwen3Config, Qwen3ForCausalLM, StaticCache

from measure import capture, emit, emit_machine, error_text

STARTED = time.monotonic()
UNMASKED = {"full_attention": None}


def make_model(layers, device):
    config = Qwen3Config(
        hidden_size=1024,
        intermediate_size=3072,
        num_hidden_layers=layers,
        num_attention_heads=16,
        num_key_value_heads=8,
        head_dim=128,
        vocab_size=151936,
        tie_word_embeddings=True,
        max_position_embeddings=131072,
        attn_implementation="sdpa",
        dtype=torch.float16,
    )
    torch.manual_seed(1)
    torch.set_default_dtype(torch.float16)
    with torch.device(device):
        model = Qwen3ForCausalLM(config).eval()
    torch.set_default_dtype(torch.float32)
    return model


def past_of(model, tokens):
    """The same random keys and values for every mode: layer by layer, (keys, values)."""
    config = model.config
    generator = torch.Generator(model.device).manual_seed(2)
    shape = (2, 1, config.num_key_value_heads, tokens, config.head_dim)
    for _ in range(config.num_hidden_layers):
        yield torch.randn(shape, generator=generator, dtype=torch.float16, device=model.device)


def eager_step(model, context):
    cache = DynamicCache(config=model.config)
    for i, (keys, values) in enumerate(past_of(model, context - 1)):
        cache.update(keys, values, i)
    tokens = torch.ones(1, 1, dtype=torch.long, device=model.device)

    def step():
        logits = model(input_ids=tokens, past_key_values=cache, use_cache=True).logits
        tokens.copy_(logits[:, -1].argmax(-1, keepdim=True))
        return logits

    return step, tokens


def static_step(model, context, forward, mask):
    config = model.config
    cache = StaticCache(config=config, max_cache_len=context)
    cache.early_initialization(1, config.num_key_value_heads, config.head_dim, torch.float16, model.device)
    lengths = [layer.cumulative_length for layer in cache.layers]
    for layer, (keys, values) in zip(cache.layers, past_of(model, context - 1)):
        layer.keys[:, :, :-1] = keys
        layer.values[:, :, :-1] = values
        layer.cumulative_length.fill_(context - 1)
    tokens = torch.ones(1, 1, dtype=torch.long, device=model.device)

    def step():
        logits = forward(input_ids=tokens, attention_mask=mask, past_key_values=cache, use_cache=True).logits
        tokens.copy_(logits[:, -1].argmax(-1, keepdim=True))
        torch._foreach_sub_(lengths, 1)
        return logits

    return step, tokens


def captured(step, tokens):
    graph, logits = capture(step)
    tokens.fill_(1)  # the token that `eager` begins with

    def replay():
        graph.replay()
        return logits

    replay.step = step  # a graph does not keep the tensors alive that it was given from outside: the cache, the token
    return replay


def decode_row(step, steps, rounds):
    """Time by the clock: what somebody who waits for tokens sees. Rounds follow a warm-up."""
    for _ in range(3):
        step()
    torch.cuda.synchronize()
    rates = []
    for _ in range(rounds):
        start = time.perf_counter()
        for _ in range(steps):
            step()
        torch.cuda.synchronize()
        rates.append(steps / (time.perf_counter() - start))
    return {
        "tokPerSec": round(statistics.median(rates), 2),
        "minTokPerSec": round(min(rates), 2),
        "maxTokPerSec": round(max(rates), 2),
        "steps": steps,
        "rounds": rounds,
        "peakMB": round(torch.cuda.max_memory_allocated() / 1e6),
    }


def fresh_memory():
    gc.collect()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()


def guarded(row, work):
    """A mode that fails becomes a row that says why; the others go on."""
    try:
        fresh_memory()
        emit(**row, **work())
    except Exception as problem:
        emit(**row, error=error_text(problem))


def prefill_row(model, tokens, rounds):
    ids = torch.randint(0, model.config.vocab_size, (1, tokens), device=model.device)
    seconds = []
    for _ in range(rounds + 1):
        torch.cuda.synchronize()
        start = time.perf_counter()
        model(input_ids=ids, past_key_values=DynamicCache(config=model.config), use_cache=True, logits_to_keep=1)
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - start)
    rates = [tokens / s for s in seconds[1:]]  # the first is the warm-up
    return {
        "tokPerSec": round(statistics.median(rates), 1),
        "minTokPerSec": round(min(rates), 1),
        "maxTokPerSec": round(max(rates), 1),
        "rounds": rounds,
        "peakMB": round(torch.cuda.max_memory_allocated() / 1e6),
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--contexts", default="16,512,2048,4096,16384,65536")
    parser.add_argument("--compile-contexts", default="4096,65536,16", help="the most wanted first: each takes long")
    parser.add_argument("--layers", type=int, default=28)
    parser.add_argument("--prefill", type=int, default=4096)
    parser.add_argument("--compile-before", type=float, default=110, help="no compilation begins after so many seconds")
    options = parser.parse_args()
    contexts = [int(n) for n in options.contexts.split(",")]

    emit_machine(transformers=transformers.__version__)
    model = make_model(options.layers, "cuda")
    shape = dict(shape="qwen3-0.6b", layers=options.layers, dtype="fp16")
    first_logits = {}

    def eager(context):
        step, _ = eager_step(model, context)
        first_logits[context] = step().float().clone()
        return decode_row(step, steps=10, rounds=5)

    def static(context, forward, mask, steps=50, rounds=5):
        step = captured(*static_step(model, context, forward, mask))
        logits = step().float().clone()
        row = decode_row(step, steps, rounds)
        if context in first_logits:
            expected = first_logits[context]
            row["logitsError"] = float(f"{((logits - expected).norm() / expected.norm()).item():.2e}")
        return row

    with torch.no_grad():
        row = dict(kind="hf-prefill", mode="eager", **shape, tokens=options.prefill)
        guarded(row, lambda: prefill_row(model, options.prefill, rounds=5))
        for context in contexts:
            guarded(dict(kind="hf", mode="eager", context=context, **shape), lambda: eager(context))
        for mask in (True, False):
            for context in contexts:
                row = dict(kind="hf", mode="graph", mask=mask, context=context, **shape)
                guarded(row, lambda: static(context, model, None if mask else UNMASKED))
        compiled = torch.compile(model, fullgraph=True, dynamic=False)
        for context in map(int, options.compile_contexts.split(",")):
            if time.monotonic() - STARTED > options.compile_before:
                break
            row = dict(kind="hf", mode="compile", mask=False, context=context, **shape)
            guarded(row, lambda: static(context, compiled, UNMASKED))


if __name__ == "__main__":
    main()
