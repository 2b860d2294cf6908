import { describe, expect, it } from "vitest";
import { filesOfIndex } from "./http-index.ts";

const html = (...links: string[]): string =>
  `<!doctype html><pre>${links.map((link) => `<a href="${link}">x</a>`).join("\n")}</pre>`;

describe("files of a folder on the web", () => {
  it("are the links of its page", () => {
    const page = html(
      "../",
      "?C=M;O=A",
      "/up/",
      "sub/",
      "./a.gguf",
      "b%20c.gguf",
      "d.gguf?download=true",
      "a&amp;b.json",
    );
    const more = `<A HREF='e.gguf'>e</A> <a href="https://other.org/f.gguf">f</a> <a href="%zz">g</a> <a href="..%2fh">h</a>`;
    expect(filesOfIndex(page + more, "text/html; charset=utf-8")).toEqual([
      ...["a.gguf", "b c.gguf", "d.gguf", "a&b.json", "e.gguf"],
    ]);
  });

  it("are the entries of a JSON list", () => {
    const nginx = [{ name: "sub", type: "directory" }, { name: "a.gguf", type: "file" }, { name: "../b" }, 3, null];
    expect(filesOfIndex(JSON.stringify(nginx), "application/json")).toEqual(["a.gguf"]);
    const hub = [
      { type: "file", path: "a.gguf", size: 3 },
      { type: "file", path: "sub/b.gguf" },
    ];
    expect(filesOfIndex(JSON.stringify(hub), "application/json; charset=utf-8")).toEqual(["a.gguf"]);
  });

  it.each([
    ["text/html", ""],
    ["application/json", "{"],
    ["application/json", '{"name":"a"}'],
    ["text/plain", '<a href="a.gguf">'],
    ["", "x"],
  ])("there are none in other text (%s: %s)", (type, text) => {
    expect(filesOfIndex(text, type)).toEqual([]);
  });
});
