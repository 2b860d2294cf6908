/** @file Recognises a Hugging Face Hub id. */

export interface HubId {
  /** `org/name` */
  readonly repo: string;
  /** Branch, tag or commit. */
  readonly revision: string;
}

const HUB_ID = /^([A-Za-z0-9][\w.-]*\/[A-Za-z0-9][\w.-]*)(?:@([\w][\w./-]*))?$/;

/** `org/name[@revision]`, or null for anything else. Relative paths with a leading dot are never ids. */
export function parseHubId(ref: string): HubId | null {
  const match = HUB_ID.exec(ref);
  return match ? { repo: match[1]!, revision: match[2] ?? "main" } : null;
}
