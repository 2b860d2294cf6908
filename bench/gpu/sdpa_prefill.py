"""Attention of a chunk of a prompt in PyTorch, fp16, batch 1: `python3 bench/gpu/sdpa_prefill.py >>rows.jsonl`.

`rows` queries that follow a history see it and each other up to themselves, in the shapes of bench/gpu/prefill-attention.ts. One row
a shape and backend; a time is that of a CUDA graph of calls in a row, so it holds no launch overhead.
"""

import argparse

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.attention.bias import causal_lower_right
from torch.nn.functional import scaled_dot_product_attention

from measure import capture, emit, emit_machine, error_text, summary, time_us

HEAD_DIM = 128
KV_HEADS = 8
MODELS = {"qwen3-0.6b": 16, "qwen3-8b": 32}
SPANS = [(512, 0), (1024, 0), (2048, 0), (512, 4096), (1024, 4096), (2048, 4096), (1024, 32768)]
BACKENDS = {"flash": SDPBackend.FLASH_ATTENTION, "cudnn": SDPBackend.CUDNN_ATTENTION}
CALLS = 16
REPEATS = 21


def measure(model, heads, rows, history, name, backend):
    random = lambda count, length: torch.randn(1, count, length, HEAD_DIM, dtype=torch.float16, device="cuda")
    query = random(heads, rows)
    keys, values = random(KV_HEADS, history + rows), random(KV_HEADS, history + rows)
    row = dict(kind="sdpa-prefill", backend=name, model=model, rows=rows, history=history)
    # Without a history, the plain flag: every backend has it.
    mask = dict(is_causal=True) if history == 0 else dict(attn_mask=causal_lower_right(rows, history + rows))

    def work():
        for _ in range(CALLS):
            scaled_dot_product_attention(query, keys, values, enable_gqa=True, **mask)

    try:
        with sdpa_kernel(backend):
            graph, _ = capture(work)
            # An idle card clocks down within a second.
            time_us([graph.replay], max(20, int(150_000 / max(1, time_us([graph.replay], 3)[-1]))))
            times = summary([us / CALLS for us in time_us([graph.replay], REPEATS)])
        flops = 4 * heads * HEAD_DIM * rows * (history + (rows + 1) / 2)
        emit(**row, **times, tflops=round(flops / times["medianUs"] / 1e6, 1))
    except Exception as problem:
        emit(**row, error=error_text(problem))
        torch.cuda.synchronize()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--backends", default=",".join(BACKENDS))
    options = parser.parse_args()
    emit_machine()
    for model, heads in MODELS.items():
        for rows, history in SPANS:
            for name in options.backends.split(","):
                measure(model, heads, rows, history, name, BACKENDS[name])


if __name__ == "__main__":
    main()
