import { beforeAll, describe, expect, it, vi } from "vitest";

describe("routeOf", () => {
  let routeOf: (hash: string) => unknown;
  beforeAll(async () => {
    vi.stubGlobal("location", { hash: "" });
    vi.stubGlobal("addEventListener", () => {});
    ({ routeOf } = await import("./route.ts"));
    vi.unstubAllGlobals();
  });

  it("takes an address apart", () => {
    expect(routeOf("#/plan?model=a&memory=8")).toEqual({ view: "plan", part: "", query: "model=a&memory=8" });
    expect(routeOf("#/chat/abc")).toEqual({ view: "chat", part: "abc", query: "" });
    expect(routeOf("#compare")).toEqual({ view: "compare", part: "", query: "" });
  });

  it("is the chat where there is no such view, and no error: from there one goes on, whatever link was old or mistyped", () => {
    for (const hash of ["", "#", "#/nowhere/x", "#/chats"]) {
      expect(routeOf(hash), hash).toEqual({ view: "chat", part: "", query: "" });
    }
  });
});
