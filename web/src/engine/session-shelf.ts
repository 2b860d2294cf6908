/** @file Sessions of recent conversations, so that going back to one does not compute it again. */
import { type LLM, type Session, TurboQuantError } from "turboquant";

/** Compressed caches are small, but a tab has little memory. */
const MOST = 8;

export class SessionShelf {
  readonly #llm: LLM;
  /** Least recently used first. */
  readonly #sessions = new Map<string, Session>();

  constructor(llm: LLM) {
    this.#llm = llm;
  }

  get size(): number {
    return this.#sessions.size;
  }

  /** The conversation's session, a new one if it has none; the longest unused one makes room. */
  take(conversation: string): Session {
    const session = this.#sessions.get(conversation) ?? this.#llm.createSession();
    this.put(conversation, session);
    return session;
  }

  /** @throws TurboQuantError invalid_argument — nothing of it is in memory */
  require(conversation: string): Session {
    const session = this.#sessions.get(conversation);
    if (session) return session;
    throw new TurboQuantError(
      "invalid_argument",
      "this conversation has no cache in memory; send a message first, then save it",
    );
  }

  put(conversation: string, session: Session): void {
    const before = this.#sessions.get(conversation);
    if (before && before !== session) before.release();
    this.#sessions.delete(conversation);
    this.#sessions.set(conversation, session);
    for (const oldest of this.#sessions.keys()) {
      if (this.#sessions.size <= MOST) break;
      this.drop(oldest);
    }
  }

  drop(conversation: string): void {
    this.#sessions.get(conversation)?.release();
    this.#sessions.delete(conversation);
  }

  clear(): void {
    for (const session of this.#sessions.values()) session.release();
    this.#sessions.clear();
  }
}
