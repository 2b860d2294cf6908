/** @file Loading a model beside one that works: what fails or is cancelled takes nothing away. */
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { TabChoice } from "./engine-choice.ts";
import { cancelLoading, engineStore, loadEngine, loadFirst, recoverEngine } from "./engine-store.ts";
import type { LoadEvent, LoadRequest, ModelInfo } from "./protocol.ts";
import { EngineError } from "./rpc.ts";
import { TabEngine } from "./tab-engine.ts";

const choiceOf = (ref: string): TabChoice => ({
  where: "tab",
  model: { kind: "url", ref },
  kv: "k4v4",
  backend: "auto",
  weights: "auto",
});
const nameOf = ({ model }: LoadRequest): string => (model.kind === "url" ? model.ref : "");

interface Opening {
  readonly request: LoadRequest;
  readonly onEvent: (event: LoadEvent) => void;
  readonly succeed: () => void;
  readonly fail: (code: string) => void;
}

describe("loading beside a model that works", () => {
  const openings: Opening[] = [];
  const disposed: string[] = [];

  beforeEach(() => {
    openings.length = disposed.length = 0;
    vi.stubGlobal("document", { baseURI: "http://page/" });
    vi.spyOn(TabEngine, "load").mockImplementation((request, { onEvent }) => {
      const name = nameOf(request);
      const engine: TabEngine = Object.assign(Object.create(TabEngine.prototype), {
        calibrate: async () => null,
        dispose: () => disposed.push(name),
      });
      Object.defineProperty(engine, "info", { value: { name } as ModelInfo });
      return new Promise((resolve, reject) => {
        openings.push({
          request,
          onEvent,
          succeed: () => resolve(engine),
          fail: (code) => reject(new EngineError({ code, message: `${name}: ${code}` })),
        });
      });
    });
  });
  afterEach(() => {
    vi.restoreAllMocks();
    vi.unstubAllGlobals();
  });

  async function load(name: string): Promise<void> {
    const done = loadEngine(choiceOf(name));
    openings.at(-1)!.succeed();
    await done;
  }
  const shown = () => {
    const { status, info, choice, error } = engineStore.get();
    return [status, info?.name, choice && nameOf(choice as unknown as LoadRequest), error?.message ?? null];
  };

  it("the old one answers until the new one is ready, and is then disposed of", async () => {
    await load("old");
    const loading = loadEngine(choiceOf("new"));
    expect(shown()).toEqual(["loading", "old", "old", null]);
    expect(engineStore.get().engine).not.toBeNull();
    openings.at(-1)!.succeed();
    await loading;
    expect(shown()).toEqual(["ready", "new", "new", null]);
    expect(disposed).toContain("old");
  });

  it("one that fails leaves it, and says why", async () => {
    await load("good");
    const loading = loadEngine(choiceOf("bad"));
    openings.at(-1)!.fail("invalid_file");
    await loading;
    expect(shown()).toEqual(["ready", "good", "good", "bad: invalid_file"]);
    expect(disposed).not.toContain("good");
  });

  it("one that is cancelled leaves it, and says nothing when it ends", async () => {
    await load("stays");
    const loading = loadEngine(choiceOf("cancelled"));
    cancelLoading();
    expect(shown()).toEqual(["ready", "stays", "stays", null]);
    openings.at(-1)!.succeed();
    await loading;
    expect(shown()).toEqual(["ready", "stays", "stays", null]);
    expect(disposed).toContain("cancelled");
  });

  it("where both do not fit, the new one is tried alone, and the old one comes back when that fails too", async () => {
    await load("small");
    const loading = loadEngine(choiceOf("large"));
    const first = openings.at(-1)!;
    first.onEvent({ phase: "load", item: "weights", done: 1, total: 2 });
    first.fail("out_of_memory");
    await vi.waitFor(() => expect(openings.at(-1)).not.toBe(first));
    expect(disposed).toContain("small");
    const second = openings.at(-1)!;
    expect(nameOf(second.request)).toBe("large");
    second.fail("out_of_memory");
    await vi.waitFor(() => expect(openings.at(-1)).not.toBe(second));
    expect(shown(), "it has not failed while one follows").toEqual([
      "loading",
      undefined,
      "small",
      "large: out_of_memory",
    ]);
    openings.at(-1)!.succeed();
    await loading;
    expect(shown()).toEqual(["ready", "small", "small", "large: out_of_memory"]);
  });

  it("a lost device is tried again, then the CPU: what waits for a model sees no failure between, and one where both fail", async () => {
    await load("model");
    const seen: string[] = [];
    const end = engineStore.subscribe(() => seen.push(engineStore.get().status));
    const lose = async (finish: (last: Opening) => void) => {
      const loading = recoverEngine({ code: "device_lost", message: "lost" });
      const first = openings.at(-1)!;
      first.fail("unsupported");
      await vi.waitFor(() => expect(openings.at(-1)).not.toBe(first));
      expect([first.request.backend, openings.at(-1)!.request.backend]).toEqual(["auto", "wasm"]);
      finish(openings.at(-1)!);
      await loading;
    };
    try {
      await lose((last) => last.succeed());
      expect(shown()).toEqual(["ready", "model", "model", "model: unsupported"]);
      expect(seen).not.toContain("failed");
      await load("model");
      await lose((last) => last.fail("out_of_memory"));
      expect(engineStore.get()).toMatchObject({ status: "failed", engine: null, error: { code: "out_of_memory" } });
    } finally {
      end();
    }
  });

  it("the first load of a page is a load from its beginning, and gives way to what is chosen meanwhile", async () => {
    await load("before");
    let found = (_: TabChoice | null): void => {};
    const first = loadFirst(
      () =>
        new Promise((resolve) => {
          found = resolve;
        }),
    );
    expect(engineStore.get().status).toBe("loading");
    const chosen = loadEngine(choiceOf("chosen"));
    found(choiceOf("found"));
    await first;
    expect(nameOf(openings.at(-1)!.request)).toBe("chosen");
    openings.at(-1)!.succeed();
    await chosen;
    expect(shown()).toEqual(["ready", "chosen", "chosen", null]);
    await loadFirst(async () => null);
    expect(engineStore.get().status, "there is none to load").toBe("ready");
  });

  it("a model that its plan refuses is not tried again", async () => {
    await load("fine");
    const before = openings.length;
    const loading = loadEngine(choiceOf("huge"));
    openings.at(-1)!.fail("out_of_memory");
    await loading;
    expect(openings).toHaveLength(before + 1);
    expect(disposed).not.toContain("fine");
    expect(shown()).toEqual(["ready", "fine", "fine", "huge: out_of_memory"]);
  });
});
