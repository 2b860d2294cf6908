import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { captureIo } from "../../test/support/cli-io.ts";
import { Progress } from "./progress.ts";

let now = 0;
beforeEach(() => {
  now = 0;
  vi.spyOn(performance, "now").mockImplementation(() => now);
});
afterEach(() => {
  vi.restoreAllMocks();
});

it("draws a bar on a terminal once something takes long, and removes it", () => {
  const io = captureIo({ isTTY: true });
  const progress = new Progress(io.stderr, false);
  progress.update("loading", 1, 10);
  expect(io.err(), "a quick phase shows nothing").toBe("");
  now = 300;
  progress.update("loading", 5, 10, "5 of 10 tensors");
  expect(io.err()).toBe(`\r\x1b[2Kloading ${"█".repeat(12)}${"░".repeat(12)} 50%  5 of 10 tensors`);
  now = 310;
  progress.update("loading", 6, 10);
  expect(io.err().split("\r"), "not redrawn at once").toHaveLength(2);
  progress.clear();
  expect(io.err().endsWith("\r\x1b[2K")).toBe(true);
});

it("shows bytes, rate and time left of loading, up to all of it, and nothing where there is no terminal", () => {
  const io = captureIo({ isTTY: true });
  const progress = new Progress(io.stderr, false);
  const silent = captureIo();
  const elsewhere = new Progress(silent.stderr, false);
  const texts: string[] = [];
  for (const [at, done] of [
    [0, 0],
    [2000, 100e6],
    [20_000, 1000e6],
    [24_000, 1200e6],
  ] as const) {
    now = at;
    const event = { phase: "load", item: "model.norm.weight", done, total: 1200e6, unit: "bytes" } as const;
    progress.onEvent(event);
    elsewhere.onEvent(event);
    texts.push(
      io
        .err()
        .split("\r\x1b[2K")
        .at(-1)!
        .replace(/[█░]+ /, ""),
    );
  }
  expect(texts).toEqual([
    "",
    "loading 8%  100 MB of 1.20 GB, 50.0 MB/s, 22 s left",
    "loading 83%  1.00 GB of 1.20 GB, 50.0 MB/s, 4 s left",
    "loading 100%  1.20 GB of 1.20 GB, 50.0 MB/s",
  ]);
  expect(silent.err()).toBe("");
});

it("names the kernels of a GPU that are compiled", () => {
  const io = captureIo({ isTTY: true });
  const progress = new Progress(io.stderr, false);
  progress.onEvent({ phase: "compile", item: "kernels", done: 0, total: 24, unit: "kernels" });
  now = 300;
  progress.onEvent({ phase: "compile", item: "kernels", done: 6, total: 24, unit: "kernels" });
  expect(io.err()).toBe(`\r\x1b[2Kcompiling ${"█".repeat(6)}${"░".repeat(18)} 25%  6 of 24 kernels`);
});

it("says how fast a download is and what is left of it, on a terminal alone", () => {
  const download = (done: number, at: number, { onEvent }: Progress) => {
    now = at;
    onEvent({ phase: "download", item: "org/tiny", done, total: 300e6, unit: "bytes" });
  };
  const [terminal, log] = [captureIo({ isTTY: true }), captureIo()];
  for (const io of [terminal, log]) {
    const progress = new Progress(io.stderr, false);
    // What an earlier pull left is no speed of this one.
    download(100e6, 0, progress);
    for (let s = 1; s <= 20; s++) download(100e6 + s * 1e6, s * 1000, progress);
  }
  expect(terminal.err().split("\x1b[2K").at(-1)).toBe(
    // The bar is shorter, and nothing is cut.
    `download ${"█".repeat(4)}${"░".repeat(7)} 40%  120 MB of 300 MB, 1.00 MB/s, 3 min 0 s left  org/tiny`,
  );
  expect(log.err()).toBe("");
});

it("fits the terminal", () => {
  const io = captureIo({ isTTY: true });
  const progress = new Progress(io.stderr, false);
  progress.update("loading", 0, 1);
  now = 1000;
  progress.update("loading", 1, 1, "x".repeat(200));
  expect(io.err().replace("\r\x1b[2K", "")).toHaveLength(79);
});

it("writes a line now and then where there is no terminal, and nothing when quiet", () => {
  const io = captureIo();
  const progress = new Progress(io.stderr, false);
  for (now = 0; now <= 40_000; now += 100)
    progress.onEvent({ phase: "eval", item: "chunk 1/6", done: now, total: 40_000, unit: "tokens" });
  expect(io.err().trim().split("\n")).toEqual([
    "evaluating: 25 s left  chunk 1/6  15000 of 40000 tokens",
    "evaluating: 10 s left  chunk 1/6  30000 of 40000 tokens",
  ]);
  const silent = captureIo({ isTTY: true });
  const quiet = new Progress(silent.stderr, true);
  quiet.update("loading", 0, 1);
  now += 5000;
  quiet.update("loading", 1, 1);
  quiet.clear();
  expect(silent.err()).toBe("");
});

it("says the time left before what a narrow terminal cuts, and begins anew with less done", () => {
  const io = captureIo({ isTTY: true });
  const progress = new Progress({ ...io.stderr, isTTY: true, columns: 40 }, false);
  const lines = () => io.err().split("\r\x1b[2K").slice(1);
  const at = (ms: number, done: number) => {
    now = ms;
    progress.update("evaluating", done, 100, "one side of one layer at a time, 12 of 40");
  };
  at(0, 0);
  at(30_000, 10);
  at(60_000, 50);
  at(61_000, 0);
  at(64_000, 1);
  expect(lines()).toEqual([
    "evaluating 10%  4 min 30 s left  one si",
    "evaluating 50%  1 min 0 s left  one sid",
    "evaluating 1%  4 min 57 s left  one sid",
  ]);
});
