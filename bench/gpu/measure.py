"""What sdpa.py and hf_decode.py share: rows of JSON on stdout, and times."""

import json
import re
import statistics
import subprocess

import torch


def emit(**row):
    print(json.dumps(row), flush=True)


def emit_machine(**versions):
    query = "nvidia-smi --query-gpu=driver_version --format=csv,noheader"
    driver = subprocess.run(query, shell=True, capture_output=True, text=True)
    emit(
        kind="machine",
        gpu=torch.cuda.get_device_name(),
        driver=driver.stdout.split("\n")[0].strip(),
        torch=torch.__version__,
        cuda=torch.version.cuda,
        cudnn=torch.backends.cudnn.version(),
        **versions,
    )


def error_text(error, notes=()):
    """One line: the first of the error's lines, and of each warning that says why."""
    lines = [f"{type(error).__name__}: {str(error).strip()}".split("\n")[0]]
    for note in notes:
        line = re.sub(r"\s*\(Triggered internally.*", "", str(note).split("\n")[0])
        # PyTorch goes through every kernel: those that were not asked for are no news.
        if not line.endswith("because:") and "runtime disabled" not in line and line not in lines:
            lines.append(line)
    return " ".join(lines)


def summary(samples):
    """Median and tenth and ninetieth percentile."""
    cuts = statistics.quantiles(samples, n=10, method="inclusive")
    return {
        "medianUs": round(statistics.median(samples), 2),
        "p10Us": round(cuts[0], 2),
        "p90Us": round(cuts[-1], 2),
        "repeats": len(samples),
    }


def capture(work, warmups=3):
    """A CUDA graph of work(), and what work() returned while it was captured."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(warmups):
            work()
    torch.cuda.current_stream().wait_stream(stream)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = work()
    return graph, result


def time_us(runs, repeats):
    """GPU time of each call in microseconds. Calls queue up, so that the GPU need not wait for the CPU where it can."""
    torch.cuda.synchronize()
    samples = []
    for i in range(repeats):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        runs[i % len(runs)]()
        end.record()
        samples.append((start, end))
    torch.cuda.synchronize()
    return [start.elapsed_time(end) * 1000 for start, end in samples]
