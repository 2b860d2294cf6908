"""Decode attention of PyTorch in fp16, batch 1: `python3 bench/gpu/sdpa.py >>rows.jsonl`.

One row for each shape, context, backend and way to take the time:
  graph   a CUDA graph that calls once for each set of buffers; the time of a replay over its calls. No launch overhead.
  events  events around a single call, as a program without graphs sees it.
All sets together are several times the L2 cache: each call finds its keys and values in device memory.
"""

import argparse
import math
import warnings
from contextlib import nullcontext

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

from measure import capture, emit, emit_machine, error_text, summary, time_us

HEAD_DIM = 128
# math goes last: on an H200 the calls right after its long ones at large contexts were 10 % slower.
BACKENDS = {
    "default": None,  # PyTorch's own choice
    "flash": SDPBackend.FLASH_ATTENTION,
    "cudnn": SDPBackend.CUDNN_ATTENTION,
    "efficient": SDPBackend.EFFICIENT_ATTENTION,
    "math": SDPBackend.MATH,
}


def emit_copy_speed():
    """The speed that device memory can give: bytes read and written by a copy of 1 GiB."""
    source = torch.randint(0, 255, (1 << 30,), dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)
    copy = lambda: target.copy_(source)
    time_us([copy], 3)
    times = summary(time_us([copy], 20))
    emit(kind="copy", bytes=2 * source.numel(), gbPerSec=round(2 * source.numel() / times["medianUs"] / 1e3), **times)


def reference(query, keys, values):
    """In fp32, by hand. Query heads of one KV head lie next to each other."""
    kv_heads = keys.shape[1]
    rows = query.float().view(kv_heads, -1, HEAD_DIM)
    scores = rows @ keys[0].float().transpose(1, 2) / math.sqrt(HEAD_DIM)
    return (scores.softmax(-1) @ values[0].float()).view(query.shape)


def measure(query, sets, backend, repeats, row):
    # enable_gqa is what makes one key serve several query heads.
    calls = [lambda k=k, v=v: scaled_dot_product_attention(query, k, v, enable_gqa=True) for k, v in sets]
    with warnings.catch_warnings(record=True) as notes, sdpa_kernel(backend) if backend else nullcontext():
        warnings.simplefilter("always")
        try:
            expected = reference(query, *sets[0])
            error = ((calls[0]().float() - expected).norm() / expected.norm()).item()
            row |= {"relError": float(f"{error:.2e}")}
            del expected

            bytes_read = 2 * sets[0][0].nbytes
            speed = lambda times: {"gbPerSec": round(bytes_read / times["medianUs"] / 1e3), **times}

            graph, _ = capture(lambda: [call() for call in calls][-1])
            time_us([graph.replay], 3)
            replays = time_us([graph.replay], repeats)
            emit(**row, timing="graph", **speed(summary([us / len(calls) for us in replays])))

            time_us(calls, 5)
            emit(**row, timing="events", **speed(summary(time_us(calls, repeats))))
        except Exception as problem:
            emit(**row, error=error_text(problem, [note.message for note in notes]))
            torch.cuda.synchronize()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--contexts", default="1024,4096,32768,131072")
    parser.add_argument("--heads", default="32/8,16/8", help="query heads/KV heads")
    parser.add_argument("--backends", default=",".join(BACKENDS))
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--set-mib", type=int, default=384, help="least size of all sets together, well above the L2 cache")
    options = parser.parse_args()

    emit_machine()
    emit_copy_speed()
    torch.manual_seed(1)
    random = lambda *shape: torch.randn(shape, dtype=torch.float16, device="cuda")
    for heads in options.heads.split(","):
        query_heads, kv_heads = map(int, heads.split("/"))
        for context in map(int, options.contexts.split(",")):
            set_bytes = 2 * kv_heads * context * HEAD_DIM * 2
            num_sets = max(3, math.ceil(options.set_mib * 2**20 / set_bytes))
            query = random(1, query_heads, 1, HEAD_DIM)
            sets = [(random(1, kv_heads, context, HEAD_DIM), random(1, kv_heads, context, HEAD_DIM)) for _ in range(num_sets)]
            for name in options.backends.split(","):
                row = dict(kind="sdpa", backend=name, dtype="fp16", context=context)
                row |= dict(queryHeads=query_heads, kvHeads=kv_heads, headDim=HEAD_DIM, sets=num_sets)
                measure(query, sets, BACKENDS[name], options.repeats, row)
            del sets
            torch.cuda.empty_cache()


if __name__ == "__main__":
    main()
