/** @file Documents that go with the next message of a conversation, by `draftOf`: being read, read, or refused. */
import { newId } from "../chat/conversation.ts";
import { createStore } from "../ui/store.ts";
import { DocumentError, type DocumentText, type ReadProgress, readDocument } from "./read-document.ts";

export interface Attachment {
  readonly id: string;
  readonly name: string;
  /** null while it is read, and when it cannot be. */
  readonly document: DocumentText | null;
  readonly progress: ReadProgress | null;
  /** Why it cannot be read. */
  readonly problem: string;
}

export type Attachments = ReadonlyMap<string, readonly Attachment[]>;

/** By conversation. */
export const attachmentsStore = createStore<Attachments>(new Map());

const NONE: readonly Attachment[] = [];
export const attachmentsOf = (all: Attachments, conversation: string): readonly Attachment[] =>
  all.get(conversation) ?? NONE;

const reading = new Map<string, AbortController>();

function change(conversation: string, update: (list: readonly Attachment[]) => readonly Attachment[]): void {
  attachmentsStore.update((all) => {
    const next = new Map(all);
    const list = update(attachmentsOf(all, conversation));
    if (list.length > 0) next.set(conversation, list);
    else next.delete(conversation);
    return next;
  });
}

/** Reads the files one after the other. Never rejects: what cannot be read says why in its place. */
export async function attachFiles(conversation: string, files: readonly File[]): Promise<void> {
  const added = files.map((file) => ({ id: newId(), file, controller: new AbortController() }));
  change(conversation, (list) => [
    ...list.filter(({ problem }) => problem === ""),
    ...added.map(({ id, file }) => ({ id, name: file.name, document: null, progress: null, problem: "" })),
  ]);
  for (const { id, controller } of added) reading.set(id, controller);
  for (const { id, file, controller } of added) {
    const set = (update: Partial<Attachment>): void => {
      // A message that was sent meanwhile may have taken it to the conversation that was new before.
      for (const [of, list] of attachmentsStore.get()) {
        if (list.some((each) => each.id === id))
          change(of, (list) => list.map((each) => (each.id === id ? { ...each, ...update } : each)));
      }
    };
    if (controller.signal.aborted) continue;
    try {
      const document = await readDocument(file, {
        onProgress: (progress) => set({ progress }),
        signal: controller.signal,
      });
      set({ document, progress: null });
    } catch (error) {
      if (controller.signal.aborted) continue;
      const problem = error instanceof DocumentError ? error.message : `${file.name} cannot be read: ${error}`;
      set({ problem, progress: null });
    } finally {
      reading.delete(id);
    }
  }
}

/** Takes a text that was pasted as a document. */
export function attachText(conversation: string, text: string): void {
  const document = { name: "pasted text", text: text.trim() };
  change(conversation, (list) => [
    { id: newId(), name: document.name, document, progress: null, problem: "" },
    ...list,
  ]);
}

export function detach(conversation: string, id: string): void {
  reading.get(id)?.abort();
  change(conversation, (list) => list.filter((each) => each.id !== id));
}

/** Replaces the text of a document by a part of it. */
export function replaceText(conversation: string, id: string, text: string): void {
  change(conversation, (list) =>
    list.map((each) => (each.id === id && each.document ? { ...each, document: { ...each.document, text } } : each)),
  );
}

/**
 * Takes away documents that are a message's from now on, and what was refused before it was sent. The others go with the conversation, which is
 * not new any more.
 */
export function takeSent(documents: readonly DocumentText[], from: string, to: string): void {
  const rest = attachmentsOf(attachmentsStore.get(), from).filter(({ document, problem }) =>
    document ? !documents.includes(document) : problem === "",
  );
  change(from, () => NONE);
  change(to, (list) => [...list, ...rest]);
}

export function dropAttachments(conversation: string): void {
  for (const { id } of attachmentsOf(attachmentsStore.get(), conversation)) detach(conversation, id);
}

export const documentsOf = (list: readonly Attachment[]): DocumentText[] =>
  list.flatMap(({ document }) => document ?? []);
