/** @file A page store in memory, whose faults come on demand. */
import type { PageStore } from "../../src/engine/page-store/page-store.ts";

export class MemoryStore implements PageStore {
  readonly name = "memory";
  values = new Map<string, Uint8Array>();
  /** Called before each answer; may throw, or answer late. */
  onAsk: (what: "has" | "get" | "put") => Promise<void> | void = () => {};
  /** Number of values asked for. */
  reads = 0;

  async has(keys: readonly string[]): Promise<boolean[]> {
    await this.onAsk("has");
    return keys.map((key) => this.values.has(key));
  }

  async get(key: string, mostBytes: number): Promise<Uint8Array | null> {
    this.reads++;
    await this.onAsk("get");
    const value = this.values.get(key);
    return value && value.length <= mostBytes ? value : null;
  }

  async put(key: string, value: Uint8Array): Promise<void> {
    await this.onAsk("put");
    this.values.set(key, value);
  }

  async close(): Promise<void> {}
}
