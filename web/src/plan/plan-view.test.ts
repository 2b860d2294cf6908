/** @file The plan view, drawn without a browser: no verdict of another model, and numbers that say what they are of. */
import { h } from "preact";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { type Rendered, rendered, stubBrowser } from "../../../test/support/rendered.ts";

/** A small plan, which is made in no time. */
const QUERY = "model=qwen3-0.6b&context=4096";

let view: Rendered;
let store: typeof import("./plan-store.ts");

async function open(device: object = {}): Promise<void> {
  vi.stubGlobal("navigator", device);
  store = await import("./plan-store.ts");
  const { PlanView } = await import("./plan-view.tsx");
  await store.loadPlanner();
  store.changePlan({ ...store.planOfQuery(QUERY) });
  view = await rendered(h(PlanView, {}));
  // The planner was loaded above, and comes with the next promises.
  await view.after(() => {});
}

beforeEach(stubBrowser);
afterEach(() => {
  view?.close();
  store?.planStore.set(store.planOfQuery(""));
  vi.unstubAllGlobals();
});

/** Opens a file as its dialog would. */
const pick = (text: string): Promise<void> =>
  view.after(async () => {
    const input = view.root.querySelector("input[type=file]")!;
    Object.defineProperty(input, "files", { value: [new File([text], "config.json")] });
    input.dispatchEvent(new Event("change"));
    await vi.waitFor(() => expect(store.planStore.get().problem).not.toBe(""));
  });

it("a config.json that cannot be read takes the verdict and the table of the model before with it", async () => {
  await open();
  expect(view.text(".plan-verdict")).toMatch(/holds 4,096 tokens/);
  await pick("no JSON at all");
  expect(view.text(".plan-form .problem")).toMatch(/^config\.json: /);
  expect([view.text(".plan-verdict"), view.text(".plan-table")]).toEqual([null, null]);
  await view.after(() => store.changePlan({ memoryGB: 12 }));
  expect([view.text(".plan-form .problem"), view.text(".plan-verdict") !== null]).toEqual([null, true]);
});

it("sequences that are out of range are refused with the range, and the plan is for those before", async () => {
  await open();
  const type = (value: string): Promise<void> =>
    view.after(() => {
      const input = view.root.querySelector<HTMLInputElement>("input[type=number]")!;
      Object.assign(input, { value, valueAsNumber: Number(value) });
      input.dispatchEvent(new Event("change"));
    });
  await type("3");
  for (const value of ["0", "5000", "x"]) {
    await type(value);
    expect(view.text("#sequences-problem"), value).toBe("Sequences: 1 to 4,096; the plan is for 3.");
  }
  await type("2");
  expect([view.text("#sequences-problem"), store.planStore.get().sequences]).toEqual([null, 2]);
});

it("offers the memory of this device beside the fixed list, where the browser says it, and its own where the address has another", async () => {
  await open({ deviceMemory: 4 });
  const memories = (): string[] => view.texts("option").filter((text) => /^[\d.]+ GB/.test(text));
  expect(memories().slice(0, 2)).toEqual(["4 GB, this device at least", "8 GB"]);
  await view.after(() => store.changePlan({ memoryGB: 20 }));
  expect(memories()).toContain("20 GB");
  view.close();
  await open({});
  expect(memories()[0]).toBe("8 GB");
});

it("the legend names weights, the cache and the memory one by one", async () => {
  await open();
  const head = view.root.querySelector(".plan-bar-head")!;
  expect([...head.children].map(({ className }) => className)).toEqual([
    "swatch segment-window",
    "swatch segment-codes",
    "plan-limit-mark",
  ]);
  const after = [...head.children].map(({ nextSibling }) => nextSibling!.textContent!.trim());
  expect(after.slice(0, 2)).toEqual(["weights", "cache"]);
  expect(view.text(".plan-bar-head")).toMatch(/^weights cache 24\.0 GB$/);
});
