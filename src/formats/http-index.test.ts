import { describe, expect, it } from "vitest";
import { readIndex } from "./http-index.ts";

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
    expect(readIndex(page + more, "text/html; charset=utf-8")).toEqual({
      files: ["a.gguf", "b c.gguf", "d.gguf", "a&b.json", "e.gguf"],
      folders: ["sub"],
    });
  });

  it("are the entries of a JSON list", () => {
    const nginx = [{ name: "sub", type: "directory" }, { name: "a.gguf", type: "file" }, { name: "../b" }, 3, null];
    expect(readIndex(JSON.stringify(nginx), "application/json")).toEqual({ files: ["a.gguf"], folders: ["sub"] });
    const hub = [
      { type: "file", path: "a.gguf", size: 3 },
      { type: "file", path: "sub/b.gguf" },
    ];
    expect(readIndex(JSON.stringify(hub), "application/json; charset=utf-8").files).toEqual(["a.gguf", "sub/b.gguf"]);
  });

  it.each([
    ["text/html", ""],
    ["application/json", "{"],
    ["application/json", '{"name":"a"}'],
    ["text/plain", '<a href="a.gguf">'],
    ["", "x"],
  ])("there are none in other text (%s: %s)", (type, text) => {
    expect(readIndex(text, type)).toEqual({ files: [], folders: [] });
  });
});
