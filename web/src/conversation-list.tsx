/** @file The conversations in the sidebar: opened, found, renamed, deleted, saved to a file and read from one. */

import { useEffect, useRef, useState } from "preact/hooks";
import { addConversations, findConversations, hasWords, writeAllConversations } from "./chat/all-conversations.ts";
import { chatStore, openConversation, renameConversation, startNew } from "./chat/chat-store.ts";
import { readConversations } from "./chat/conversation-file.ts";
import { deleteConversation } from "./chat/delete-conversation.ts";
import type { Listed } from "./chat/listed.ts";
import { engineStore } from "./engine/engine-store.ts";
import { download } from "./ui/download.ts";
import { FileButton } from "./ui/file-button.tsx";
import { formatAge, formatCount } from "./ui/format.ts";
import { Icon } from "./ui/icon.tsx";
import { memo } from "./ui/memo.ts";
import { linkTo } from "./ui/route.ts";
import { useStore } from "./ui/store.ts";
import { whereWordsGo } from "./where-words-go.ts";

/** With fewer there is nothing to search. */
const SEARCH_FROM = 6;
/** What the browser leaves out as one, where it is out of sight: looking after each of a thousand rows by itself takes milliseconds of every frame. */
const GROUP_ROWS = 25;

export function ConversationList({ onNavigate }: { readonly onNavigate: () => void }) {
  const others = useStore(chatStore, (state) => state.others);
  const currentId = useStore(chatStore, (state) => state.current.id);
  const choice = useStore(engineStore, (state) => state.choice);
  const [query, setQuery] = useState("");
  const isSearched = others.length >= SEARCH_FROM;
  const words = isSearched ? query.trim() : "";
  const { found, problem } = useFound(words, others);
  // Titles are at hand; what stands in the texts comes a moment later.
  const shown = words ? others.filter(({ id, title }) => found?.has(id) || hasWords(title, words)) : others;
  const show = (open: () => void): void => {
    open();
    if (!location.hash.startsWith("#/chat")) location.hash = linkTo("chat");
    onNavigate();
  };
  // Rows are compared by what they are given.
  const latest = useRef(show);
  latest.current = show;
  const [openRow] = useState(() => (id: string) => latest.current(() => void openConversation(id)));
  return (
    <section class="conversations" aria-labelledby="conversations-title">
      <header class="row">
        <h2 id="conversations-title" class="label">
          Conversations
        </h2>
        <button type="button" class="icon-button" aria-label="New conversation" onClick={() => show(startNew)}>
          <Icon name="plus" />
        </button>
      </header>
      {isSearched && (
        <input
          type="search"
          class="conversation-search"
          aria-label="Find a conversation"
          placeholder="Find"
          value={query}
          onInput={({ currentTarget }) => setQuery(currentTarget.value)}
        />
      )}
      {others.length === 0 && <p class="hint">{whereWordsGo(choice)}</p>}
      {others.length > 0 && shown.length === 0 && found && <p class="hint">None has these words.</p>}
      {problem && (
        <p class="problem" role="status">
          Only titles are looked through: the texts could not be read ({problem}). Reload the page to try again.
        </p>
      )}
      <div class="conversation-list">
        {groupsOf(shown).map((group, index, { length }) => (
          // Counted from the oldest: what comes or goes at the top leaves the groups below as they are.
          <ul key={length - index} class="conversation-group" style={{ "--rows": group.length }}>
            {group.map(({ id, title, updatedAt }) => (
              <Row key={id} id={id} title={title} updatedAt={updatedAt} isCurrent={id === currentId} onOpen={openRow} />
            ))}
          </ul>
        ))}
      </div>
      <Files hasSome={others.length > 0} />
    </section>
  );
}

/** Groups of `GROUP_ROWS`, full ones from the oldest on. */
function groupsOf<T>(rows: readonly T[]): T[][] {
  const first = rows.length % GROUP_ROWS || GROUP_ROWS;
  const groups = rows.length > 0 ? [rows.slice(0, first)] : [];
  for (let at = first; at < rows.length; at += GROUP_ROWS) groups.push(rows.slice(at, at + GROUP_ROWS));
  return groups;
}

/** Time for the next letter, before all texts are gone through. */
const PAUSE_MS = 150;

interface Found {
  /** Ids of the conversations that have the words; null where that is not known. */
  readonly found: ReadonlySet<string> | null;
  /** Why it cannot be known; empty otherwise. */
  readonly problem: string;
}
const NOT_KNOWN: Found = { found: null, problem: "" };

/** Looks again when the list changes, and shows what was found before meanwhile. */
function useFound(query: string, list: readonly Listed[]): Found {
  const [last, setLast] = useState({ query: "", ...NOT_KNOWN });
  useEffect(() => {
    if (query === "") return;
    let isWanted = true;
    const look = async (): Promise<void> => {
      const next = await findConversations(query).then(
        (found): Found => ({ found, problem: "" }),
        (error: unknown): Found => ({ found: null, problem: error instanceof Error ? error.message : String(error) }),
      );
      if (isWanted) setLast({ query, ...next });
    };
    const timer = setTimeout(() => void look(), PAUSE_MS);
    return () => {
      isWanted = false;
      clearTimeout(timer);
    };
  }, [query, list]);
  return last.query === query ? last : NOT_KNOWN;
}

interface RowProps {
  readonly id: string;
  readonly title: string;
  readonly updatedAt: number;
  readonly isCurrent: boolean;
  readonly onOpen: (id: string) => void;
}

const Row = memo(({ id, title, updatedAt, isCurrent, onOpen }: RowProps) => {
  const [isNaming, setIsNaming] = useState(false);
  if (isNaming) return <NameForm id={id} title={title} onClose={() => setIsNaming(false)} />;
  return (
    <li class="conversation">
      <button
        type="button"
        class="conversation-open"
        aria-current={isCurrent ? "true" : undefined}
        onClick={() => onOpen(id)}
        onDblClick={() => setIsNaming(true)}
      >
        <span class="conversation-title" dir="auto">
          {title}
        </span>
        <span class="conversation-age">{formatAge(updatedAt)}</span>
      </button>
      <span class="conversation-actions">
        <button type="button" class="icon-button" aria-label={`Rename ${title}`} onClick={() => setIsNaming(true)}>
          <Icon name="edit" />
        </button>
        <button
          type="button"
          class="icon-button"
          aria-label={`Delete ${title}`}
          onClick={() => void deleteConversation(id)}
        >
          <Icon name="trash" />
        </button>
      </span>
    </li>
  );
});

function NameForm({ id, title, onClose }: Pick<RowProps, "id" | "title"> & { readonly onClose: () => void }) {
  const input = useRef<HTMLInputElement>(null);
  useEffect(() => input.current?.select(), []);
  const rename = (): void => {
    void renameConversation(id, input.current?.value ?? "");
    onClose();
  };
  return (
    <li class="conversation">
      <form
        class="conversation-name"
        onSubmit={(event) => {
          event.preventDefault();
          rename();
        }}
      >
        <input
          ref={input}
          type="text"
          dir="auto"
          aria-label="Name of the conversation"
          defaultValue={title}
          onBlur={rename}
          onKeyDown={(event) => {
            if (event.key !== "Escape") return;
            // Closes the form, and not the drawer around it.
            event.preventDefault();
            event.stopPropagation();
            input.current!.value = title;
            onClose();
          }}
        />
      </form>
    </li>
  );
}

/** All conversations as a file, and those of a file. */
function Files({ hasSome }: { readonly hasSome: boolean }) {
  const [note, setNote] = useState({ text: "", isBad: false });
  const read = async (file: File): Promise<void> => {
    try {
      const added = addConversations(readConversations(await file.text(), file.name));
      setNote({ text: added === 0 ? "All of them are here already." : `${formatCount(added)} added.`, isBad: false });
    } catch (error) {
      setNote({ text: error instanceof Error ? error.message : String(error), isBad: true });
    }
  };
  const write = async (): Promise<void> => {
    try {
      download(new Blob([await writeAllConversations()], { type: "application/json" }), "conversations.json");
    } catch (error) {
      setNote({ text: `Not written: ${error instanceof Error ? error.message : error}`, isBad: true });
    }
  };
  return (
    <div class="conversation-files">
      <button type="button" class="link-button" disabled={!hasSome} onClick={() => void write()}>
        Export
      </button>
      <FileButton
        class="link-button"
        inputLabel="A file of conversations"
        picks="file"
        accept=".json,application/json"
        onFiles={([file]) => void read(file!)}
      >
        Import
      </FileButton>
      {note.text && (
        <p class={note.isBad ? "problem" : "hint"} role="status">
          {note.text}
        </p>
      )}
    </div>
  );
}
