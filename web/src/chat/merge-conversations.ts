/** @file What two tabs made of one conversation, as one. A conversation with its versions is a tree, and two trees are put together. */
import type { Conversation, Fork, Message } from "./conversation.ts";

/** What follows a message, or the beginning: the first message of each version. */
interface Place {
  ids: readonly string[];
  shown: string;
}

interface Tree {
  readonly messages: Map<string, Message>;
  /** By the id of the message before; empty for the beginning. A place comes after that of the message before it. */
  readonly places: Map<string, Place>;
}

/**
 * The tree of the other tab, with what this one alone has. Nothing that either has written is lost. What both said after one message without
 * knowing of each other comes one after the other, and other versions stay versions. Those are shown that the side shows which was changed last.
 */
export function mergeConversations(theirs: Conversation, mine: Conversation): Conversation {
  const tree = treeOf(theirs);
  const own = treeOf(mine);
  const { forks: _, ...newer } = theirs.updatedAt > mine.updatedAt ? theirs : mine;
  const isMine = newer.updatedAt === mine.updatedAt;
  for (const [key, { ids, shown }] of own.places) {
    for (const id of ids) {
      const known = tree.messages.get(id);
      const message = own.messages.get(id)!;
      tree.messages.set(id, known ? newerOf(known, message) : message);
      if (!known) add(tree, ids.length > 1 ? key : endOf(tree, key), id);
    }
    const place = tree.places.get(key);
    if (isMine && place?.ids.includes(shown)) place.shown = shown;
  }
  const forks = forksOf(tree);
  return { ...newer, messages: tailOf(tree, ""), ...(forks && { forks }) };
}

/** Of an answer that one of both is still waiting for, the finished text. */
const newerOf = (theirs: Message, mine: Message): Message =>
  mine.state === "streaming" && theirs.state !== "streaming" ? theirs : mine;

function add({ places }: Tree, key: string, id: string): void {
  const place = places.get(key);
  if (place) place.ids = [...place.ids, id];
  else places.set(key, { ids: [id], shown: id });
}

function endOf({ places }: Tree, key: string): string {
  let end = key;
  for (let place = places.get(key); place; place = places.get(end)) end = place.shown;
  return end;
}

function treeOf({ messages: shown, forks = {} }: Conversation): Tree {
  const tree: Tree = { messages: new Map(), places: new Map() };
  const keys = new Set([""]);
  const walk = (path: readonly Message[], start: string): void => {
    let key = start;
    for (const message of path) {
      if (!tree.messages.has(message.id)) {
        tree.messages.set(message.id, message);
        add(tree, key, message.id);
      }
      key = message.id;
      keys.add(key);
    }
  };
  walk(shown, "");
  const byKey = new Map(Object.entries(forks));
  // The tail of a version that is shown is an old state: all that it has should be known by then.
  for (const isOld of [false, true]) {
    // Keys that are found on the way are visited as well.
    for (const key of keys) {
      const { tails = [], at } = byKey.get(key) ?? {};
      for (const [version, tail] of tails.entries()) if ((version === at) === isOld) walk(tail, key);
    }
  }
  for (const [key, place] of tree.places) {
    const { tails = [], at } = byKey.get(key) ?? {};
    const inOrder = tails.map(([first], version) => (version === at ? place.shown : first?.id));
    const ids = new Set(place.ids);
    place.ids = [...new Set([...inOrder, ...ids])].filter((id) => id !== undefined && ids.has(id)) as string[];
  }
  return tree;
}

/** What is shown after a message. */
function tailOf({ messages, places }: Tree, key: string): Message[] {
  const tail: Message[] = [];
  for (let place = places.get(key); place; place = places.get(place.shown)) tail.push(messages.get(place.shown)!);
  return tail;
}

function forksOf(tree: Tree): Conversation["forks"] {
  const forks: Record<string, Fork> = {};
  for (const [key, { ids, shown }] of tree.places) {
    if (ids.length < 2) continue;
    // What is shown stands in the messages, or in the tail of the version around it.
    const tails = ids.map((id) => (id === shown ? [] : [tree.messages.get(id)!, ...tailOf(tree, id)]));
    forks[key] = { tails, at: ids.indexOf(shown) };
  }
  return Object.keys(forks).length > 0 ? forks : undefined;
}
