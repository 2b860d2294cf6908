import { h } from "preact";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { rendered, stubBrowser } from "../../../test/support/rendered.ts";
import { MessageItem } from "./message-item.tsx";

beforeEach(stubBrowser);
afterEach(() => vi.unstubAllGlobals());

it("while a long prompt is read, says how far it is and how long the rest takes", async () => {
  const message = { id: "a", role: "assistant", text: "", state: "streaming" } as const;
  const waiting = async (secondsLeft: number | null): Promise<string | null> => {
    const prefill = { done: 500, total: 2000, secondsLeft };
    const item = await rendered(h(MessageItem, { message, canChange: false, prefill, version: null, onVersion() {} }));
    const text = item.text(".load-status");
    item.close();
    return text;
  };
  expect(await waiting(74.2)).toBe("Reading the prompt, 500 of 2,000 tokens, 1 min 15 s left");
  expect(await waiting(null)).toBe("Reading the prompt, 500 of 2,000 tokens");
});
