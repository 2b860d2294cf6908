/** @file Components of the page drawn in Node, without a browser: what they say, and what their buttons do. No styles, no layout. */
import { setImmediate } from "node:timers/promises";
import { parseHTML } from "linkedom";
import { type ComponentChild, render } from "preact";
import { act } from "preact/test-utils";
import { vi } from "vitest";

export interface Rendered {
  readonly root: HTMLElement;
  /** The text of the first element that fits, with single spaces; null where none does. */
  text(selector: string): string | null;
  texts(selector: string): string[];
  /** Clicks the first element that fits and has `text` in it, and draws what came of it. @throws Error — there is none */
  click(selector: string, text?: string): Promise<void>;
  /** Draws another component in its place. */
  draw(component: ComponentChild): void;
  /** Runs what changes a store, and draws. */
  after(change: () => unknown): Promise<void>;
  close(): void;
}

/** What a browser has and Node does not; `vi.unstubAllGlobals` takes it away again. */
export function stubBrowser(): void {
  const { document, Event, HTMLElement } = parseHTML("<html><body></body></html>");
  vi.stubGlobal("document", document);
  vi.stubGlobal("Event", Event);
  vi.stubGlobal("HTMLElement", HTMLElement);
  vi.stubGlobal("location", { hash: "", href: "http://page/", origin: "http://page" });
  vi.stubGlobal("history", { pushState() {}, replaceState() {} });
  vi.stubGlobal("addEventListener", () => {});
  vi.stubGlobal("matchMedia", () => ({ matches: false, addEventListener() {}, removeEventListener() {} }));
}

const plain = (element: Element | null): string | null =>
  element === null ? null : element.textContent.replace(/\s+/g, " ").trim();

/** Draws once more when promises that were kept at once have had their say. */
const after = (change: () => unknown): Promise<void> =>
  act(async () => {
    await change();
    await setImmediate();
  });

/** Called where `stubBrowser` was. */
export async function rendered(component: ComponentChild): Promise<Rendered> {
  const root = document.body.appendChild(document.createElement("div"));
  await act(() => render(component, root));
  const all = (selector: string): Element[] => [...root.querySelectorAll(selector)];
  return {
    root,
    text: (selector) => plain(root.querySelector(selector)),
    texts: (selector) => all(selector).map((element) => plain(element)!),
    async click(selector, text = "") {
      const found = all(selector).find((element) => plain(element)!.includes(text));
      if (!found) throw new Error(`no ${selector} with "${text}" in: ${root.innerHTML}`);
      await after(() => found.dispatchEvent(new Event("click", { bubbles: true })));
    },
    after,
    draw: (next) => render(next, root),
    close() {
      // Effects are cleaned up at once, and not after a paint that nobody waits for.
      void act(() => render(null, root));
      root.remove();
    },
  };
}
