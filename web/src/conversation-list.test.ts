import { h, options, type VNode } from "preact";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { memoryStorage } from "../../test/support/memory-storage.ts";
import { rendered, stubBrowser } from "../../test/support/rendered.ts";
import { chatStore, startNew } from "./chat/chat-store.ts";
import type { EngineChoice } from "./engine/engine-choice.ts";
import { engineStore } from "./engine/engine-store.ts";

const { vnode: vnodeBefore } = options;
beforeEach(() => {
  stubBrowser();
  vi.stubGlobal("localStorage", memoryStorage());
  vi.stubGlobal("sessionStorage", memoryStorage());
  startNew();
});
afterEach(() => {
  if (vnodeBefore) options.vnode = vnodeBefore;
  else delete options.vnode;
  chatStore.update((state) => ({ ...state, others: [] }));
  engineStore.update((state) => ({ ...state, choice: null }));
  vi.unstubAllGlobals();
});

const draw = async () => rendered(h((await import("./conversation-list.tsx")).ConversationList, { onNavigate() {} }));
const entry = (id: string, updatedAt: number) => ({ id, title: `Conversation ${id}`, updatedAt });

it("draws only the rows that changed: one that is new, and the two that change places as the current one", async () => {
  const others = [entry("c", 3), entry("b", 2), entry("a", 1)];
  chatStore.update((state) => ({ ...state, others }));
  const list = await draw();
  const drawn: string[] = [];
  options.vnode = (node: VNode) => {
    const { class: name, children } = node.props as { class?: string; children?: unknown };
    if (node.type === "span" && name === "conversation-title") drawn.push(String(children));
    vnodeBefore?.(node);
  };
  await list.after(() => chatStore.update((state) => ({ ...state, others: [entry("d", 4), ...others] })));
  expect(drawn.splice(0)).toEqual(["Conversation d"]);
  await list.after(() => chatStore.update((state) => ({ ...state, current: { ...state.current, id: "b" } })));
  expect(drawn.splice(0)).toEqual(["Conversation b"]);
  await list.after(() => chatStore.update((state) => ({ ...state, current: { ...state.current, title: "x" } })));
  expect(drawn).toEqual([]);
  expect(list.texts(".conversation-title")).toHaveLength(4);
  list.close();
});

it("says of the first words where they go, by what answers", async () => {
  const list = await draw();
  const says = async (choice: EngineChoice): Promise<string | null> => {
    await list.after(() => engineStore.update((state) => ({ ...state, choice })));
    return list.text(".conversations > .hint");
  };
  const inTab = {
    where: "tab",
    model: { kind: "url", ref: "m" },
    kv: "k4v4",
    backend: "auto",
    weights: "auto",
  } as const;
  expect(await says(inTab)).toBe("What you say is kept in this browser and goes nowhere else.");
  const address = { url: "https://models.example:8000/v1" };
  expect(await says({ where: "server", model: "m", address })).toBe(
    "What you say is kept in this browser, and sent to models.example:8000, whose model answers.",
  );
  expect(await says({ where: "server", model: "m", address: { url: "" } })).toContain("sent to page, whose");
  list.close();
});

it("looks again through the texts when one of them was added to, and says why where they cannot be read", async () => {
  const others = ["f", "e", "d", "c", "b", "a"].map((id, i) => entry(id, 6 - i));
  const say = (text: string) => ({ id: "m", role: "user", text }) as const;
  const current = { ...chatStore.get().current, id: "a" };
  chatStore.update((state) => ({ ...state, others, current: { ...current, messages: [say("of the sea")] } }));
  const list = await draw();
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] });
  try {
    const input = list.root.querySelector("input")!;
    await list.after(() => {
      input.value = "whale";
      input.dispatchEvent(new Event("input", { bubbles: true }));
    });
    const look = () => list.after(() => vi.advanceTimersByTimeAsync(1000));
    await look();
    expect([list.texts(".conversation-title"), list.texts(".conversations > .hint")]).toEqual([
      [],
      ["None has these words."],
    ]);
    const said = { ...current, messages: [say("of the sea and a whale")] };
    await list.after(() => chatStore.update((state) => ({ ...state, others: [...others], current: said })));
    await look();
    expect(list.texts(".conversation-title")).toEqual(["Conversation a"]);
    const unreadable = new Proxy(said, {
      get: (target, name) => {
        if (name === "messages") throw new Error("it is damaged");
        return Reflect.get(target, name);
      },
    });
    await list.after(() => chatStore.update((state) => ({ ...state, others: [...others], current: unreadable })));
    await look();
    expect(list.text(".conversations > .problem")).toContain("could not be read (it is damaged)");
  } finally {
    vi.useRealTimers();
    list.close();
    startNew();
  }
});
