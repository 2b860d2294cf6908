import { describe, expect, it, vi } from "vitest";
import { browserPlatform } from "./browser-platform.ts";

describe("browser platform", () => {
  it("takes URLs and hub ids, and refuses the rest without a request", async () => {
    const named: [string, object][] = [
      ["https://host.example/m", { name: "https://host.example/m", modelName: "m" }],
      ["/models/m/", { name: "/models/m", modelName: "m" }],
      ["./m/config.json", { name: "./m", modelName: "m" }],
      ["https://host.example/a/m.gguf?download=true", { name: "https://host.example/a", weights: "m.gguf" }],
      ["/a/my%20m.gguf", { name: "/a", weights: "my m.gguf" }],
      ["./m.gguf", { name: ".", weights: "m.gguf" }],
      [
        "https://huggingface.co/org/name/blob/main/m-Q4_0.gguf",
        {
          name: "https://huggingface.co/org/name/resolve/main",
          weights: "m-Q4_0.gguf",
        },
      ],
      ["org/name", { name: "org/name", modelName: "org/name" }],
      ["org/name:q4_k_m", { name: "org/name", modelName: "org/name", quant: "q4_k_m" }],
      ["https://host.example/m:Q4_K_M", { name: "https://host.example/m", modelName: "m", quant: "Q4_K_M" }],
      ["https://host.example/m:x", { name: "https://host.example/m:x" }],
      ["org/name@v1", { name: "org/name@v1", modelName: "org/name@v1" }],
    ];
    for (const [ref, source] of named) expect(await browserPlatform.openSource(ref)).toMatchObject(source);
    await expect(browserPlatform.openSource("my models")).rejects.toMatchObject({
      code: "invalid_argument",
      message: expect.stringContaining("expected a URL"),
    });
    expect(browserPlatform.concurrency).toBeGreaterThanOrEqual(1);
  });

  it("finds a model of the package beside the page or at the root, and says what to copy where it is not", async () => {
    const answers: Record<string, string> = {};
    vi.stubGlobal("location", new URL("https://host.example/app/index.html"));
    vi.stubGlobal("fetch", async (url: string) => new Response(answers[url] ?? "<!doctype html>"));
    try {
      await expect(browserPlatform.openSource("qwen3-3m")).rejects.toMatchObject({
        code: "invalid_argument",
        message: expect.stringMatching(
          /not at https:\/\/host\.example\/app\/models\/qwen3-3m; copy node_modules\/turboquant\/models/,
        ),
      });
      answers["https://host.example/models/qwen3-3m/config.json"] = "{}";
      expect((await browserPlatform.openSource("qwen3-3m")).name).toBe("qwen3-3m");
      answers["https://host.example/app/models/qwen3-3m/config.json"] = "{}";
      expect((await browserPlatform.openSource("qwen3-3m")).name).toBe("qwen3-3m");
    } finally {
      vi.unstubAllGlobals();
    }
  });
});
