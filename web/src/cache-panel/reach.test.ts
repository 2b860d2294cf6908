/** @file What the page says of formats: what a conversation takes in each, and how much further it goes than as elsewhere. */
import { h } from "preact";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { memoryStorage } from "../../../test/support/memory-storage.ts";
import { rendered, stubBrowser } from "../../../test/support/rendered.ts";
import { chatStore, startNew } from "../chat/chat-store.ts";
import { ReachPicture } from "../chat/reach-picture.tsx";
import { ContextGuard } from "../documents/context-guard.tsx";
import { measureStore } from "../documents/count-tokens.ts";
import type { TabChoice } from "../engine/engine-choice.ts";
import { type EngineState, engineStore } from "../engine/engine-store.ts";
import type { CacheState, ModelInfo } from "../engine/protocol.ts";
import { TERMS } from "../ui/terms.ts";
import { Headline } from "./cache-panel.tsx";
import { FormatPicker } from "./format-picker.tsx";

const reach = (kv: string, tokens: number, fullBytes: number) => ({ kv, tokens, fullBytes });
/** A model of 2.84 GB in a tab: the cache in f16 ends long before the model does. */
const INFO = {
  ...{ name: "model", kv: "k4v4", backendName: "wasm", contextLength: 32_768, modelContext: 32_768, savesFrom: 112 },
  reaches: [reach("f16", 12_224, 4e9), reach("k4v4", 32_768, 1.5e9), reach("k2v2", 32_768, 1e9)],
} as unknown as ModelInfo;
const SAME = { ...INFO, reaches: INFO.reaches.map((each) => ({ ...each, tokens: 32_768 })) };
const CHOICE = { where: "tab", kv: "k4v4", model: { kind: "url", ref: "m" } } as TabChoice;

const set = (change: Partial<EngineState>): void => engineStore.update((state) => ({ ...state, ...change }));
const cacheOf = (tokens: number, numBytes: number, f16Bytes = 4000): CacheState => ({
  ...{ tokens, numBytes, f16Bytes, layers: [], shelf: null },
  formats: INFO.reaches.map(({ kv }, i) => ({ kv, numBytes: 1000 * (i + 1) })),
});

beforeEach(() => {
  stubBrowser();
  vi.stubGlobal("localStorage", memoryStorage());
  vi.stubGlobal("sessionStorage", memoryStorage());
  set({ status: "ready", info: INFO, choice: CHOICE, cache: null });
});
afterEach(() => {
  set({ status: "none", info: null, choice: null, cache: null });
  measureStore.set(null);
  vi.unstubAllGlobals();
});

/** Terms carry their explanation with them. */
const withoutTerms = (text: string | null): string =>
  Object.values(TERMS)
    .reduce<string>((rest, meaning) => rest.replaceAll(meaning, ""), text ?? "")
    .replace(/ +/g, " ");

describe("the picture of the welcome", () => {
  const draw = async (info: ModelInfo) => {
    const picture = await rendered(h(ReachPicture, { info }));
    const widths = [...picture.root.querySelectorAll<HTMLElement>(".reach-bar")].map((bar) => bar.style.width);
    const drawn = { says: withoutTerms(picture.text("figcaption")), rows: picture.texts(".number"), widths };
    picture.close();
    return drawn;
  };

  it("says how far a conversation goes in f16 and in this format, in tokens and words", async () => {
    const { says, rows, widths } = await draw(INFO);
    expect(says).toBe("How far a conversation goes on this device: 9,200 words, or 25,000");
    expect(rows).toEqual(["12,224 tokens", "32,768 tokens"]);
    expect(widths.map((width) => Math.round(Number.parseFloat(width)))).toEqual([37, 100]);
  });

  it("says what the same length takes where the model's own end comes first, and nothing where there is no difference", async () => {
    const { says, rows } = await draw(SAME);
    expect(says).toMatch(/^What 32,768 tokens, some 25,000 words, take of this device's memory$/);
    expect(rows).toEqual(["4.00 GB", "1.50 GB"]);
    expect((await draw({ ...INFO, kv: "f16" })).rows).toEqual([]);
  });
});

describe("the format picker", () => {
  const draw = async () => {
    const picker = await rendered(h(FormatPicker, {}));
    const drawn = {
      says: withoutTerms(picker.text(".hint")),
      bytes: picker.texts(".format-row > .number:not(.format-reach)"),
      reaches: picker.texts(".format-reach"),
    };
    picker.close();
    return drawn;
  };

  it("says how far each format reaches on this device, once for all where they reach alike", async () => {
    expect(await draw()).toEqual({
      says: "What 32,768 tokens take in each.",
      bytes: ["4.00 GB", "1.50 GB", "1.00 GB"],
      reaches: ["up to 12,224 tokens here", "up to 32,768 tokens here", "up to 32,768 tokens here"],
    });
    set({ info: SAME });
    expect(await draw()).toMatchObject({
      says: "What 32,768 tokens take in each. Each reaches 32,768 tokens on this device.",
      reaches: [],
    });
    set({ info: { ...INFO, reaches: [reach("f16", 0, 4e9), ...INFO.reaches.slice(1)] } });
    expect((await draw()).reaches[0]).toBe("does not fit this device");
  });

  it("says of a short conversation that it tells little of them, and of a long one what it takes", async () => {
    set({ cache: cacheOf(40, 2222) });
    expect(await draw()).toMatchObject({
      says: expect.stringMatching(/too short to tell them apart/),
      bytes: ["1.00 kB", "2.22 kB", "3.00 kB"],
    });
    set({ cache: cacheOf(400, 2222) });
    expect((await draw()).says).toBe("What this conversation takes in each.");
  });
});

describe("the panel's headline", () => {
  const draw = async (cache: CacheState | null): Promise<string> => {
    const headline = await rendered(h(Headline, { cache, info: INFO }));
    const text = withoutTerms(headline.text(".headline"));
    headline.close();
    return text;
  };

  it("before a word is said, tells how much fits, and how much would in f16", async () => {
    expect(await draw(null)).toMatch(/^32,768 tokens fit, some 25,000 words.*this device holds 12,224\.$/);
  });

  it("says that a conversation is too short to tell where it saves nothing yet", async () => {
    expect(await draw(cacheOf(40, 5000))).toMatch(/Too short to tell: f16 takes 4.00 kB.*from 112 tokens on/);
    expect(await draw(cacheOf(400, 1000))).toMatch(/4\.00× smaller than f16/);
  });
});

it("a message that does not fit is offered the formats that hold it, the one with the most bits first", async () => {
  startNew();
  const { id } = chatStore.get().current;
  set({ info: { ...INFO, kv: "f16", contextLength: 12_224 }, choice: { ...CHOICE, kv: "f16" } });
  measureStore.set({ conversation: id, tokens: 20_000, limit: 12_224, isAbout: false });
  const guard = await rendered(h(ContextGuard, {}));
  expect(guard.text(".context-guard p")).toBe("20,000 tokens do not fit: model holds 12,224 in f16.");
  expect(guard.texts("button")).toEqual(["Keep the cache in k4v4 holds 32,768 tokens"]);
  await guard.after(() => measureStore.set({ conversation: id, tokens: 40_000, limit: 12_224, isAbout: false }));
  expect(guard.texts("button")).toEqual(["Stretch the model to 40,960 tokens beyond its training, at some loss"]);
  guard.close();
});
