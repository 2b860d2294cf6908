/** @file A Redis of a test's own: on a free port, in memory alone, and killed with the test. */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "./free-port.ts";
import { skipReason } from "./optional.ts";

/** The server: of Debian's package `redis-server` or `valkey-server`, or what REDIS_SERVER names. */
const SERVERS = process.env["REDIS_SERVER"] ? [process.env["REDIS_SERVER"]] : ["redis-server", "valkey-server"];
const server = SERVERS.find((name) => spawnSync(name, ["--version"]).status === 0);

/** Why tests that need a Redis are skipped, or null. */
export const NO_REDIS = skipReason("redis", server !== undefined, "apt-get install redis-server");

export interface TestRedis {
  readonly url: string;
  /** Kills it as a crash would; its data are gone. */
  kill(): Promise<void>;
  /** Starts it again on the same port, empty. */
  restart(): Promise<void>;
  /** Stops answering without closing connections, or goes on. */
  hang(isHanging: boolean): void;
  /** Kills it for good and removes what it left. */
  dispose(): Promise<void>;
}

/** Starts a Redis and waits until it takes connections. */
export async function startRedis(): Promise<TestRedis> {
  const folder = mkdtempSync(join(tmpdir(), "redis-"));
  const port = await freePort();
  let child: ChildProcess | null = null;
  const leave = (): void => {
    child?.kill("SIGKILL");
    rmSync(folder, { recursive: true, force: true });
  };
  process.once("exit", leave);
  const start = async (): Promise<void> => {
    const argv = ["--port", `${port}`, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", folder];
    const started = spawn(server!, argv, { stdio: "ignore" });
    child = started;
    while (!(await takesConnections(port))) {
      if (started.exitCode !== null || started.signalCode !== null)
        throw new Error(`redis ended with ${started.exitCode ?? started.signalCode}`);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  };
  const kill = async (): Promise<void> => {
    const ending = child;
    child = null;
    // One that ended by a signal has no exit code.
    if (!ending || ending.exitCode !== null || ending.signalCode !== null) return;
    const ended = new Promise((resolve) => ending.once("exit", resolve));
    ending.kill("SIGKILL");
    await ended;
  };
  await start();
  return {
    hang: (isHanging) => void child?.kill(isHanging ? "SIGSTOP" : "SIGCONT"),
    url: `redis://127.0.0.1:${port}/0`,
    kill,
    restart: start,
    async dispose() {
      await kill();
      process.off("exit", leave);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

const takesConnections = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
