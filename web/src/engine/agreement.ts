/** @file How often a format would say the same next token, over a text that another one wrote. */
import type { Session } from "turboquant";

export interface AgreementOptions {
  /** Holds the prompt, and what it said after it. */
  readonly session: Session;
  readonly prompt: readonly number[];
  /** The tokens that the other format said after the prompt. */
  readonly text: readonly number[];
  readonly signal: AbortSignal;
  readonly onStep: (agreed: number, total: number) => void;
}

/** Each token is judged with the other format's text before it, so that one difference is counted once. */
export async function agreementWith({ session, prompt, text, signal, onStep }: AgreementOptions): Promise<void> {
  const ids = [...prompt];
  let agreed = 0;
  for (const [i, expected] of text.entries()) {
    const shared = session.rewindTo(ids);
    for await (const { token } of session.generate(ids.slice(shared), { maxNewTokens: 1, temperature: 0, signal })) {
      if (token === expected) agreed++;
    }
    signal.throwIfAborted();
    onStep(agreed, i + 1);
    ids.push(expected);
  }
}
