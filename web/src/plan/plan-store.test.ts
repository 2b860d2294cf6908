import { beforeAll, describe, expect, it, vi } from "vitest";

describe("a plan's address", () => {
  let store: typeof import("./plan-store.ts");
  beforeAll(async () => {
    vi.stubGlobal("location", { hash: "" });
    vi.stubGlobal("addEventListener", () => {});
    store = await import("./plan-store.ts");
    vi.unstubAllGlobals();
  });

  it("says all of it, and is read back", () => {
    const plan = {
      ...store.planOfQuery(""),
      shape: "llama-3.1-8b",
      memoryGB: 8,
      context: 5000,
      weights: "q4",
    } as const;
    expect(store.planOfQuery(store.queryOfPlan(plan))).toEqual(plan);
  });

  it("is as at the start where it says nothing, or what cannot be", () => {
    const start = store.planOfQuery("");
    expect(store.planOfQuery("memory=-3&context=x&sequences=1e99&weights=q1")).toEqual(start);
  });

  it("says what would fit where nothing does", async () => {
    const planner = await store.loadPlanner();
    const way = (query: string): string => {
      const form = store.planOfQuery(query);
      expect(store.makePlan(planner, form).plan.best).toBeNull();
      return store.wayOut(planner, form);
    };
    // The weights as stored are more than the memory, and the cache of so long a text is more than what fewer bits leave.
    expect(way("model=mistral-7b&memory=8&context=131072")).toMatch(
      /^(with q8 .+; )?with q4 weights k2v2 holds [\d,]+ tokens$/,
    );
    expect(way("model=mistral-7b&memory=8&context=4096")).toMatch(/with q[48] weights \w+ holds all of it$/);
    expect(way("model=qwen3-8b&memory=1&context=4096")).toBe("");
  });
});
