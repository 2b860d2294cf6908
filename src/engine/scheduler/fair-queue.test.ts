import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { FairQueue } from "./fair-queue.ts";

const drain = (queue: FairQueue<string>): string => {
  let order = "";
  for (let item = queue.shift(); item !== undefined; item = queue.shift()) order += item;
  return order;
};

describe("FairQueue", () => {
  it("keeps the order of arrival for one client", () => {
    const queue = new FairQueue<string>();
    for (const item of "abcde") queue.push(item, "x", 10);
    expect(drain(queue)).toBe("abcde");
  });

  it("takes turns between clients, whoever came first with many", () => {
    const queue = new FairQueue<string>();
    for (const item of "aaaa") queue.push(item, "a", 10);
    for (const item of "bb") queue.push(item, "b", 10);
    queue.push("c", "c", 10);
    expect(drain(queue)).toBe("abcabaa");
  });

  it("counts work, not requests", () => {
    const queue = new FairQueue<string>();
    for (const item of "AAA") queue.push(item, "a", 30);
    for (const item of "bbbbbb") queue.push(item, "b", 10);
    expect(drain(queue)).toBe("AbbbAbbbA");
  });

  it("does not pay a client that was away for the time it was away", () => {
    const queue = new FairQueue<string>();
    for (const item of "aaaa") queue.push(item, "a", 10);
    queue.shift();
    queue.shift();
    queue.shift();
    for (const item of "bbbb") queue.push(item, "b", 10);
    queue.push("a", "a", 10);
    // b starts where a is now, not three turns behind.
    expect(drain(queue)).toBe("babbab");
  });

  it("gives any two busy clients the same work, up to one request of each", () => {
    const costs = fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1, maxLength: 30 });
    fc.assert(
      fc.property(costs, costs, (a, b) => {
        const queue = new FairQueue<{ client: "a" | "b"; cost: number }>();
        for (const cost of a) queue.push({ client: "a", cost }, "a", cost);
        for (const cost of b) queue.push({ client: "b", cost }, "b", cost);
        const served = { a: 0, b: 0 };
        const left = { a: a.length, b: b.length };
        while (left.a > 0 && left.b > 0) {
          const { client, cost } = queue.shift()!;
          served[client] += cost;
          left[client]--;
          if (left.a > 0 && left.b > 0) expect(Math.abs(served.a - served.b)).toBeLessThanOrEqual(Math.max(...a, ...b));
        }
      }),
      { numRuns: 100 },
    );
  });

  it("forgets those who left", () => {
    const queue = new FairQueue<string>();
    for (const item of "abc") queue.push(item, item, 1);
    expect(queue.remove((item) => item === "b")).toEqual(["b"]);
    expect(queue.size).toBe(2);
    expect(queue.peek()).toBe("a");
    expect(drain(queue)).toBe("ac");
  });

  it("those who leave before their turn cost their client nothing", () => {
    const queue = new FairQueue<string>();
    queue.push("A", "a", 10);
    for (const item of "xyz") queue.push(item, "a", 1000);
    queue.push("B", "a", 10);
    for (const item of "cc") queue.push(item, "c", 10);
    expect(queue.remove((item) => "xyz".includes(item))).toEqual(["x", "y", "z"]);
    expect(drain(queue)).toBe("AcBc");
  });

  it("remembers no more clients than it has to, however many came", () => {
    const queue = new FairQueue<string>();
    for (let i = 0; i < 3000; i++) {
      queue.push("x", `address ${i}`, 10);
      queue.shift();
    }
    expect(queue.numClients).toBe(1000);
    queue.push("waits", "a", 10);
    queue.reset();
    expect(queue.numClients, "who waits is not forgotten").toBe(1001);
    expect(queue.shift()).toBe("waits");
    queue.reset();
    expect(queue.numClients).toBe(0);
  });
});
