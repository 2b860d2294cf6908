/**
 * @file Other tabs of this page: tells them what was written, and which conversations are being answered here.
 *
 * A lock ends with its tab, so an answer whose tab was closed is recognized. Plain HTTP has no locks; every answer there counts as this tab's own.
 */

const CHANNEL = "turboquant.conversations";
const lockOf = (id: string): string => `turboquant.answer.${id}`;

export class Tabs {
  readonly #channel: BroadcastChannel | null;

  /** onChange: a conversation was written or deleted elsewhere */
  constructor(onChange: (id: string) => void) {
    this.#channel = "BroadcastChannel" in globalThis ? new BroadcastChannel(CHANNEL) : null;
    if (!this.#channel) return;
    this.#channel.onmessage = ({ data }: MessageEvent<unknown>) => {
      if (typeof data === "string") onChange(data);
    };
    // In Node the channel would keep the process.
    (this.#channel as { unref?: () => void }).unref?.();
  }

  /** Says to the other tabs that a conversation was written or deleted. */
  tell(id: string): void {
    this.#channel?.postMessage(id);
  }

  /** Runs `work` while other tabs see that this conversation is being answered. */
  async whileAnswering<T>(id: string, work: () => Promise<T>): Promise<T> {
    const { locks } = globalThis.navigator ?? {};
    // Another tab that answers the same conversation is waited for by nobody: both answers are merged when they are written.
    return locks ? locks.request(lockOf(id), { mode: "shared" }, work) : work();
  }

  /** Conversations that some tab is answering. */
  async answered(): Promise<ReadonlySet<string>> {
    const { held = [] } = (await globalThis.navigator?.locks?.query()) ?? {};
    const prefix = lockOf("");
    return new Set(
      held
        .map(({ name = "" }) => name)
        .filter((name) => name.startsWith(prefix))
        .map((name) => name.slice(prefix.length)),
    );
  }

  /** Resolves when no tab is answering the conversation. */
  async untilFree(id: string): Promise<void> {
    await globalThis.navigator?.locks?.request(lockOf(id), () => {});
  }
}
