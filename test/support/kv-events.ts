/** @file What a router does with events of the cache: it unpacks them and keeps the blocks that a server holds. Written from the formats' descriptions. */
import { Dealer } from "zeromq";

// biome-ignore lint/suspicious/noExplicitAny: of any form; tests look into it
type Value = any;

/** The value of bytes in MessagePack; whole numbers of 64 bits are `bigint`. @throws where bytes are left or missing */
export function unpack(bytes: Uint8Array): Value {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  const take = (length: number): number => {
    at += length;
    return at - length;
  };
  const text = (length: number): string => {
    const start = take(length);
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes.subarray(start, start + length));
  };
  const list = (length: number): Value[] => Array.from({ length }, value);
  const map = (length: number): Value => Object.fromEntries(Array.from({ length }, () => [value(), value()]));
  function value(): Value {
    const kind = view.getUint8(take(1));
    if (kind < 0x80) return kind;
    if (kind < 0x90) return map(kind & 0x0f);
    if (kind < 0xa0) return list(kind & 0x0f);
    if (kind < 0xc0) return text(kind & 0x1f);
    switch (kind) {
      case 0xc0:
        return null;
      case 0xcb:
        return view.getFloat64(take(8));
      case 0xcc:
        return view.getUint8(take(1));
      case 0xcd:
        return view.getUint16(take(2));
      case 0xce:
        return view.getUint32(take(4));
      case 0xcf:
        return view.getBigUint64(take(8));
      case 0xdc:
        return list(view.getUint16(take(2)));
      case 0xdd:
        return list(view.getUint32(take(4)));
      case 0xde:
        return map(view.getUint16(take(2)));
      default:
        throw new Error(`no kind of value in an event: 0x${kind.toString(16)}`);
    }
  }
  const result = value();
  if (at !== bytes.length) throw new Error(`${bytes.length - at} bytes are left`);
  return result;
}

/** An event with named fields, from a map or from an array. */
export function eventOf(packed: Value): Value {
  if (!Array.isArray(packed)) return packed;
  const [type, block_hashes, ...rest] = packed;
  if (type === "AllBlocksCleared") return { type };
  if (type === "BlockRemoved") return { type, block_hashes, medium: rest[0] };
  const [parent_block_hash, token_ids, block_size, lora_id, medium, lora_name] = rest;
  return { type, block_hashes, parent_block_hash, token_ids, block_size, lora_id, medium, lora_name };
}

/** The blocks of one server, by what it tells. */
export class BlockIndex {
  /** Tokens of a block and the block before it. */
  readonly blocks = new Map<bigint, { readonly parent: bigint | null; readonly tokens: readonly number[] }>();

  take(event: Value): void {
    if (event.type === "AllBlocksCleared") this.blocks.clear();
    for (const hash of event.type === "BlockRemoved" ? event.block_hashes : []) {
      if (!this.blocks.delete(hash)) throw new Error(`block ${hash} is removed and was not there`);
    }
    if (event.type !== "BlockStored") return;
    let parent = event.parent_block_hash;
    if (parent !== null && !this.blocks.has(parent)) throw new Error(`block ${parent} is a parent and was not there`);
    const size = event.block_size;
    if (event.token_ids.length !== size * event.block_hashes.length) throw new Error("tokens and blocks do not agree");
    for (const [i, hash] of event.block_hashes.entries()) {
      if (this.blocks.has(hash)) throw new Error(`block ${hash} is stored and was there`);
      this.blocks.set(hash, { parent, tokens: event.token_ids.slice(i * size, (i + 1) * size) });
      parent = hash;
    }
  }

  /** How many tokens of a prompt are in blocks that follow each other from its beginning. */
  cached(prompt: readonly number[]): number {
    let parent: bigint | null = null;
    let length = 0;
    for (;;) {
      const next = [...this.blocks].find(
        ([, block]) => block.parent === parent && block.tokens.every((token, i) => prompt[length + i] === token),
      );
      if (!next) return length;
      parent = next[0];
      length += next[1].tokens.length;
    }
  }
}

/** All past messages from a number on, without the empty part before each. */
export async function replay(address: string, from: bigint): Promise<Buffer[][]> {
  const dealer = new Dealer({ linger: 0 });
  try {
    dealer.connect(address);
    const number = Buffer.alloc(8);
    number.writeBigUInt64BE(from);
    await dealer.send(["", number]);
    const messages: Buffer[][] = [];
    for await (const [, ...parts] of dealer) {
      messages.push(parts);
      if (parts.some((part) => part.equals(Buffer.alloc(8, 0xff)))) return messages;
    }
    throw new Error("the socket was closed before the end");
  } finally {
    dealer.close();
  }
}
