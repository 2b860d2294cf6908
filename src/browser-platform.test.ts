import { describe, expect, it } from "vitest";
import { browserPlatform } from "./browser-platform.ts";

describe("browser platform", () => {
  it("takes URLs and hub ids, and refuses the rest without a request", async () => {
    for (const ref of ["https://host.example/m", "/models/m", "./m", "org/name", "org/name@v1"]) {
      expect((await browserPlatform.openSource(ref)).name).toBe(ref);
    }
    await expect(browserPlatform.openSource("qwen3-3m")).rejects.toMatchObject({
      code: "invalid_argument",
      message: expect.stringContaining("expected a URL"),
    });
    expect(browserPlatform.concurrency).toBeGreaterThanOrEqual(1);
  });
});
