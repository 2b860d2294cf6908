/**
 * @file A Firefox, driven by what every one of them listens to: Marionette, the protocol behind geckodriver. Messages are JSON behind their length, on a
 * socket. Playwright takes a Firefox of its own, or one that is newer than those of distributions.
 */
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";

/** Path of a Firefox, or undefined. FIREFOX names one that is somewhere else, or none where it names no file. */
export function findFirefox(): string | undefined {
  const named = process.env["FIREFOX"];
  const candidates = named ? [named] : ["/usr/bin/firefox-esr", "/usr/bin/firefox"];
  return candidates.find((path) => existsSync(path));
}

/** The name of an element in answers, by the WebDriver standard. */
const ELEMENT = "element-6066-11e4-a52e-4f735466cecf";

export const ENTER = "\uE007";

type Message = readonly [type: 0 | 1, id: number, error: { message: string } | null, result: { value?: unknown }];

export class Firefox {
  readonly #socket: Socket;
  readonly #end: () => Promise<void>;
  readonly #waiting = new Map<number, (message: Message) => void>();
  #bytes = Buffer.alloc(0);
  #last = 0;

  private constructor(socket: Socket, end: () => Promise<void>) {
    this.#socket = socket;
    this.#end = end;
    socket.on("data", (bytes) => this.#read(bytes));
  }

  /** patienceMs: how long an element is waited for */
  static async start(path: string, patienceMs: number): Promise<Firefox> {
    const profile = mkdtempSync(join(tmpdir(), "turboquant-firefox-"));
    // A port that is free, which is then in a file.
    writeFileSync(join(profile, "user.js"), 'user_pref("marionette.port", 0);\n');
    const child = spawn(path, ["--marionette", "--headless", "--no-remote", "--profile", profile], {
      env: { ...process.env, HOME: profile },
      stdio: "ignore",
    });
    const exited = new Promise<void>((resolve) => child.once("close", () => resolve()));
    const end = async (): Promise<void> => {
      child.kill();
      await exited;
      rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
    };
    try {
      const file = join(profile, "MarionetteActivePort");
      while (!existsSync(file) || readFileSync(file, "utf8") === "") {
        const { exitCode, signalCode } = child;
        if (exitCode !== null || signalCode !== null) throw new Error(`${path} ended with ${exitCode ?? signalCode}`);
        await wait(50);
      }
      const socket = connect(Number(readFileSync(file, "utf8")), "127.0.0.1");
      const firefox = new Firefox(socket, end);
      await firefox.#send("WebDriver:NewSession", {});
      await firefox.#send("WebDriver:SetTimeouts", { implicit: patienceMs, pageLoad: patienceMs, script: patienceMs });
      return firefox;
    } catch (error) {
      await end();
      throw error;
    }
  }

  async open(url: string): Promise<void> {
    await this.#send("WebDriver:Navigate", { url });
  }

  async reload(): Promise<void> {
    await this.#send("WebDriver:Refresh", {});
  }

  /** Waits for the first element of this XPath; its text. */
  async text(xpath: string): Promise<string> {
    return String((await this.#send("WebDriver:GetElementText", { id: await this.#find(xpath) })).value);
  }

  async click(xpath: string): Promise<void> {
    await this.#send("WebDriver:ElementClick", { id: await this.#find(xpath) });
  }

  async type(xpath: string, text: string): Promise<void> {
    await this.#send("WebDriver:ElementSendKeys", { id: await this.#find(xpath), text });
  }

  /** The value that the body of a function returns in the page. */
  async evaluate(script: string): Promise<unknown> {
    return (await this.#send("WebDriver:ExecuteScript", { script, args: [] })).value;
  }

  async close(): Promise<void> {
    this.#socket.destroy();
    await this.#end();
  }

  async #find(value: string): Promise<string> {
    const found = await this.#send("WebDriver:FindElement", { using: "xpath", value });
    return (found.value as Record<string, string>)[ELEMENT]!;
  }

  async #send(name: string, parameters: object): Promise<{ value?: unknown }> {
    const id = ++this.#last;
    const answer = new Promise<Message>((resolve) => this.#waiting.set(id, resolve));
    const text = JSON.stringify([0, id, name, parameters]);
    this.#socket.write(`${Buffer.byteLength(text)}:${text}`);
    const [, , error, result] = await answer;
    if (error) throw new Error(`${name} ${JSON.stringify(parameters)}: ${error.message}`);
    return result;
  }

  #read(bytes: Buffer): void {
    this.#bytes = Buffer.concat([this.#bytes, bytes]);
    for (;;) {
      const colon = this.#bytes.indexOf(":");
      const end = colon + 1 + Number(this.#bytes.toString("utf8", 0, Math.max(0, colon)));
      if (colon < 0 || this.#bytes.length < end) return;
      const message = JSON.parse(this.#bytes.toString("utf8", colon + 1, end)) as Message;
      this.#bytes = this.#bytes.subarray(end);
      // The first one is a greeting.
      if (Array.isArray(message)) this.#waiting.get(message[1])?.(message);
    }
  }
}
