/** @file Asks the browser not to remove what it stores for the page where it is short of room: conversations, caches, models. */

let asked: StorageManager | null = null;

/** Asks once a visit, when the first thing is kept: some browsers ask the user, others grant it by how often the page is used. Never rejects. */
export function askToStay(): void {
  const { storage } = globalThis.navigator ?? {};
  if (!storage?.persist || asked === storage) return;
  asked = storage;
  // One that refuses keeps everything all the same for as long as there is room.
  void storage.persist().catch(() => {});
}
