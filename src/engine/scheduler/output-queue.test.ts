import { expect, it } from "vitest";
import { OutputQueue } from "./output-queue.ts";

async function read<T>(queue: OutputQueue<T>): Promise<T[]> {
  const items: T[] = [];
  for await (const item of queue.read()) items.push(item);
  return items;
}

it("hands out what was pushed before and after the reader came, in order, and ends", async () => {
  const queue = new OutputQueue<number>();
  queue.push(1);
  const reading = read(queue);
  await Promise.resolve();
  queue.push(2);
  setTimeout(() => {
    queue.push(3);
    queue.close();
    queue.push(4);
  }, 1);
  expect(await reading).toEqual([1, 2, 3]);
});

it("gives an error after what came before it, the first one only, `undefined` included", async () => {
  const queue = new OutputQueue<number>();
  queue.push(1);
  queue.close(new Error("first"));
  queue.close(new Error("second"));
  const seen: number[] = [];
  const reading = (async () => {
    for await (const item of queue.read()) seen.push(item);
  })();
  await expect(reading).rejects.toThrow("first");
  expect(seen).toEqual([1]);
});
