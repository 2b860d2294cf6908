import { describe, expect, it } from "vitest";
import type { ReadOptions } from "./file-source.ts";
import { bufferBytes, ReadAhead, type ReadRange, readPlanOf, WINDOW_BYTES } from "./read-ahead.ts";

const PLAN = readPlanOf({});
const PIECE = PLAN.pieceBytes;

interface Read {
  readonly tensor: string;
  readonly options: ReadOptions;
  readonly done: (bytes?: Uint8Array) => void;
  readonly fail: (error: unknown) => void;
}

/** A checkpoint whose reads end when the test says so. */
function manual() {
  const reads: Read[] = [];
  const read = (tensor: string, start = 0, end = 0, options: ReadOptions = {}): Promise<Uint8Array> =>
    new Promise((resolve, reject) => {
      const own = options.into?.subarray(0, end - start) ?? new Uint8Array(end - start);
      reads.push({ tensor, options, done: (bytes = own) => resolve(bytes), fail: reject });
    });
  return { reads, read };
}

const ranges = (count: number, numBytes: number): ReadRange[] =>
  Array.from({ length: count }, (_, i) => ({ tensor: `t${i}`, start: 0, end: numBytes }));

const names = (reads: readonly Read[]): string[] => reads.map(({ tensor }) => tensor);

describe("ReadAhead", () => {
  it("has eight reads under way, gives them in order, and uses their memory again", async () => {
    const { reads, read } = manual();
    const memory = new Uint8Array(bufferBytes(PLAN));
    const ahead = new ReadAhead({ read }, ranges(10, PIECE), PLAN, { memory });
    expect(names(reads)).toEqual(["t0", "t1", "t2", "t3", "t4", "t5", "t6", "t7"]);
    reads[1]!.done();
    reads[0]!.done();
    expect((await ahead.next()).byteOffset).toBe(reads[0]!.options.into!.byteOffset);
    expect(reads, "the first one's memory is in use").toHaveLength(8);
    expect((await ahead.next()).byteOffset).toBe(reads[1]!.options.into!.byteOffset);
    expect(new Set(reads.slice(0, 8).map(({ options }) => options.into!.byteOffset)).size).toBe(8);
    expect(reads).toHaveLength(9);
    expect(reads[8]!.options.into).toBe(reads[0]!.options.into);
    for (const { done } of reads) done();
    await ahead.close();
  });

  it("keeps to its window, in which one read always has room", async () => {
    const { reads, read } = manual();
    const sizes = [WINDOW_BYTES - 10, 10, 1, 3 * WINDOW_BYTES, 5];
    const ahead = new ReadAhead(
      { read },
      sizes.map((end, i) => ({ tensor: `t${i}`, start: 0, end })),
      PLAN,
    );
    expect(names(reads)).toEqual(["t0", "t1"]);
    for (const [i, started] of [2, 3, 3, 4, 5].entries()) {
      const next = ahead.next();
      reads[i]!.done(new Uint8Array(0));
      await next;
      expect(reads.length, `before the ${i + 1}th is given back`).toBe(started);
    }
    await ahead.close();
  });

  it("reports an error when it is its turn, and ends and awaits the other reads", async () => {
    const { reads, read } = manual();
    const ahead = new ReadAhead({ read }, ranges(3, 10), PLAN);
    reads[1]!.fail(new Error("torn"));
    reads[0]!.done();
    await ahead.next();
    await expect(ahead.next()).rejects.toThrow("torn");
    let closed = false;
    const closing = ahead.close().then(() => {
      closed = true;
    });
    expect(reads[2]!.options.signal!.aborted).toBe(true);
    await new Promise((resolve) => setTimeout(resolve));
    expect(closed).toBe(false);
    reads[2]!.fail(new Error("ended"));
    await closing;
  });

  it("ends with the reason of its signal, before and while it waits", async () => {
    const { reads, read } = manual();
    const abort = new AbortController();
    const ahead = new ReadAhead({ read }, ranges(3, 10), PLAN, { signal: abort.signal });
    const waiting = ahead.next();
    abort.abort(new Error("enough"));
    reads[0]!.done();
    await expect(waiting).rejects.toThrow("enough");
    await expect(ahead.next()).rejects.toThrow("enough");
    for (const { done } of reads) done();
    await ahead.close();
    const never = new ReadAhead({ read }, ranges(1, 10), PLAN, { signal: abort.signal });
    reads.at(-1)!.done();
    await expect(never.next()).rejects.toThrow("enough");
    await never.close();
  });
});
