/** @file The page in Firefox, where one is installed: a question, another cache format, and the conversation after a reload. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ENTER, Firefox, findFirefox } from "./support/firefox.ts";
import { skipReason } from "./support/optional.ts";
import { type StaticServer, serveFolder } from "./support/static-server.ts";
import { type BuiltApp, buildWebApp } from "./support/web-app.ts";
import { PATIENCE_MS } from "./support/web-page.ts";

const path = findFirefox();
const skip = skipReason("firefox", path !== undefined, "install firefox, or name one in FIREFOX");

const withClass = (name: string): string => `contains(concat(' ', @class, ' '), ' ${name} ')`;
const READY = `//*[${withClass("status-ready")}]`;
const FIELD = "//*[@id='composer-input']";
/** The text of answer n, from 1 on, when it is written. */
const answer = (n: number): string =>
  `(//*[${withClass("message-answer")}])[${n}][@aria-busy='false']//*[${withClass("prose")}]`;
const CAPITALS = [
  ["What is the capital of Spain?", "Madrid"],
  ["What is the capital of France?", "Paris"],
] as const;

describe.skipIf(skip)(`the page in Firefox${skip ? ` (${skip})` : ""}`, () => {
  let app: BuiltApp;
  let server: StaticServer;
  let firefox: Firefox;

  beforeAll(async () => {
    app = await buildWebApp();
    server = await serveFolder(app.folder);
    firefox = await Firefox.start(path!, PATIENCE_MS);
  });
  afterAll(async () => {
    await firefox?.close();
    await server?.close();
    app?.dispose();
  });

  it("answers, changes the format, and has the conversation after a reload", async () => {
    await firefox.open(server.url);
    await firefox.text(READY);
    expect(await firefox.evaluate("return crossOriginIsolated")).toBe(true);
    expect(await firefox.text(`//*[${withClass("model-place")}]`)).toMatch(/WASM|WebGPU/);
    await firefox.evaluate(
      "window.errors = []; for (const name of ['error', 'unhandledrejection']) addEventListener(name, (event) => errors.push(String(event.message ?? event.reason)))",
    );
    await firefox.type(FIELD, CAPITALS[0][0] + ENTER);
    const first = await firefox.text(answer(1));
    expect(first).toContain(CAPITALS[0][1]);

    await firefox.click("//label[contains(., 'k3v3')]");
    expect(await firefox.text(`//*[${withClass("switch-note")}][contains(., 'is now')]`)).toContain("k3v3");
    await firefox.type(FIELD, CAPITALS[1][0] + ENTER);
    const second = await firefox.text(answer(2));
    expect(second).toContain(CAPITALS[1][1]);
    expect(await firefox.evaluate("return window.errors")).toEqual([]);

    await firefox.reload();
    await firefox.text(READY);
    expect(await firefox.text(answer(1))).toBe(first);
    expect(await firefox.text(answer(2))).toBe(second);
    await firefox.type(FIELD, CAPITALS[0][0] + ENTER);
    expect(await firefox.text(answer(3))).toContain(CAPITALS[0][1]);
  });
});
