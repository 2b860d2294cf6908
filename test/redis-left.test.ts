import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { NO_REDIS } from "./support/redis.ts";

test.skipIf(NO_REDIS)(
  "a program that ends without disposing of its Redis leaves neither it nor its folder",
  async () => {
    const folder = mkdtempSync(join(tmpdir(), "left-"));
    try {
      const module = fileURLToPath(new URL("support/redis.ts", import.meta.url));
      const program = `import { startRedis } from ${JSON.stringify(module)}; console.log((await startRedis()).url); process.exit(3);`;
      const args = ["--import", "tsx", "--input-type=module", "-e", program];
      const { status, stdout, stderr } = spawnSync(process.execPath, args, {
        encoding: "utf8",
        env: { ...process.env, TMPDIR: folder },
      });
      expect(status, stderr).toBe(3);
      expect(readdirSync(folder).filter((name) => name.startsWith("redis-"))).toEqual([]);
      const port = Number(new URL(stdout.trim()).port);
      const refusal = (): Promise<unknown> =>
        new Promise((resolve) => {
          const socket = connect(port, "127.0.0.1", () => {
            socket.destroy();
            resolve(null);
          }).once("error", resolve);
        });
      // A process that was killed holds its port until the system has come round to end it.
      let refused = await refusal();
      while (refused === null) refused = await refusal();
      expect(refused).toMatchObject({ code: expect.stringMatching(/^ECONN(?:REFUSED|RESET)$/) });
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  },
);
