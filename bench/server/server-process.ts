/** @file A server of the built package as a process of its own, and what can be seen of it from outside. */
import { type ChildProcess, spawn } from "node:child_process";
import { readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const MAIN = fileURLToPath(new URL("../../dist/cli/main.js", import.meta.url));

export class ServerProcess {
  readonly url: string;
  readonly kv: string;
  readonly budgetBytes: number;
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess, started: { url: string; kv: string; kvBudgetBytes: number }) {
    this.#child = child;
    this.url = started.url;
    this.kv = started.kv;
    this.budgetBytes = started.kvBudgetBytes;
  }

  /** args: options of `turboquant serve` */
  static async start(args: readonly string[]): Promise<ServerProcess> {
    const child = spawn(
      process.execPath,
      [MAIN, "serve", "--port", "0", "--json", "--log-level", "error", "--no-web", ...args],
      {
        stdio: ["ignore", "pipe", "inherit"],
      },
    );
    const stop = (): void => void child.kill("SIGKILL");
    const leave = (): void => process.exit(130);
    process.once("exit", stop);
    // Without these, a signal would end us and leave the server behind.
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, leave);
    child.once("exit", () => {
      process.off("exit", stop);
      for (const signal of ["SIGINT", "SIGTERM"] as const) process.off(signal, leave);
    });
    const line = await new Promise<string>((resolve, reject) => {
      let text = "";
      child.stdout.on("data", (data) => {
        text += data;
        if (text.endsWith("\n")) resolve(text);
      });
      child.once("exit", (code) =>
        reject(new Error(`the server ended with ${code} before it listened; run npm run build`)),
      );
    });
    return new ServerProcess(child, JSON.parse(line));
  }

  /** Resident memory of the process, bytes; NaN where there is no /proc. */
  residentBytes(): number {
    try {
      const status = readFileSync(`/proc/${this.#child.pid}/status`, "utf8");
      return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) * 1024;
    } catch {
      return Number.NaN;
    }
  }

  /** Name of the model that requests get by default. */
  async model(): Promise<string> {
    const models = (await (await fetch(`${this.url}/v1/models`)).json()) as { data: readonly { id: string }[] };
    return models.data[0]!.id;
  }

  /** A value of /metrics, summed over its series; 0 when it has not been counted yet. labels: those of the series that count */
  async metric(name: string, labels: Readonly<Record<string, string>> = {}): Promise<number> {
    const text = await (await fetch(`${this.url}/metrics`)).text();
    const wanted = Object.entries(labels).map(([label, value]) => `${label}="${value}"`);
    let sum = 0;
    for (const line of text.split("\n")) {
      const isOne = new RegExp(`^turboquant:${name}[{ ]`).test(line) && wanted.every((label) => line.includes(label));
      if (isOne) sum += Number(line.split(" ").at(-1));
    }
    return sum;
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const ended = new Promise<void>((resolve) => this.#child.once("exit", () => resolve()));
    this.#child.kill("SIGTERM");
    await ended;
  }
}
