/** @file Keeps the sessions of recent conversations, so that returning to one does not compute its cache again. */
import { type LLM, type Session, TurboQuantError } from "turboquant";
import { commonPrefix } from "./common-prefix.ts";

/** Number of sessions kept. Compressed caches are small, but a tab has little memory. */
const MAX_SESSIONS = 8;

export class SessionShelf {
  readonly #llm: LLM;
  /** The least recently used first. */
  readonly #sessions = new Map<string, Session>();

  constructor(llm: LLM) {
    this.#llm = llm;
  }

  get size(): number {
    return this.#sessions.size;
  }

  /** The tokens of each conversation that are in its cache. */
  tokens(): [conversation: string, tokens: readonly number[]][] {
    return [...this.#sessions].map(([conversation, { tokens, sequence }]) => [
      conversation,
      tokens.slice(0, sequence.length),
    ]);
  }

  has(conversation: string): boolean {
    return this.#sessions.has(conversation);
  }

  /** A fork of the session that has most of a prompt already, if that is at least so much; its pages are shared. */
  fork(ids: ArrayLike<number>, least: number): { readonly session: Session; readonly shared: number } | null {
    let best: Session | null = null;
    let shared = least - 1;
    for (const session of this.#sessions.values()) {
      const own = Math.min(commonPrefix(session.tokens, ids), session.sequence.length);
      if (own > shared) [best, shared] = [session, own];
    }
    return best && { session: best.fork(), shared };
  }

  /** The conversation's session, or a new one. The least recently used one is dropped to make room. */
  take(conversation: string): Session {
    const session = this.#sessions.get(conversation) ?? this.#llm.createSession();
    this.put(conversation, session);
    return session;
  }

  /** @throws TurboQuantError invalid_argument — the conversation has no session in memory */
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
      if (this.#sessions.size <= MAX_SESSIONS) break;
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
