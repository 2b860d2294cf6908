"""Matrix products of a prompt in PyTorch (cuBLAS), fp16, in the shapes of bench/gpu/linear.ts: one row of JSON a shape.

Weights take turns and are together several times the L2 cache; values are random. A time is that of a CUDA graph of calls in a
row, so it holds no launch overhead. `python3 bench/gpu/matmul.py [--rows 512,2048]`.
"""

import argparse

import torch
from measure import capture, emit, emit_machine, summary, time_us

SHAPES = {
    "qwen3-0.6b": {"qkv": (4096, 1024), "o": (1024, 2048), "gate_up": (6144, 1024), "down": (1024, 3072)},
    "qwen3-8b": {"qkv": (6144, 4096), "o": (4096, 4096), "gate_up": (24576, 4096), "down": (4096, 12288)},
}
TURN_BYTES = 256 << 20
REPEATS = 21


def measure(model, name, outputs, cols, rows):
    count = max(2, -(-TURN_BYTES // (outputs * cols * 2)))
    weights = [torch.randn(outputs, cols, dtype=torch.float16, device="cuda") * 0.02 for _ in range(count)]
    x = torch.randn(rows, cols, dtype=torch.float16, device="cuda")
    out = torch.empty(rows, outputs, dtype=torch.float16, device="cuda")
    calls = max(16, count)

    def work():
        for i in range(calls):
            torch.matmul(x, weights[i % count].T, out=out)

    graph, _ = capture(work)
    # An idle card clocks down within a second.
    time_us([graph.replay], max(20, int(150_000 / max(1, time_us([graph.replay], 3)[-1]))))
    times = summary([us / calls for us in time_us([graph.replay], REPEATS)])
    tflops = round(2 * rows * outputs * cols / times["medianUs"] / 1e6, 1)
    shape = {"model": model, "shape": name, "outputs": outputs, "cols": cols, "rows": rows}
    emit(kind="linear", engine="torch", type="f16", **shape, **times, tflops=tflops)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", default="512,1024,2048")
    rows = [int(value) for value in parser.parse_args().rows.split(",")]
    emit_machine()
    for model, shapes in SHAPES.items():
        for name, (outputs, cols) in shapes.items():
            for count in rows:
                measure(model, name, outputs, cols, count)


if __name__ == "__main__":
    main()
