/** @file The documents that go with the next message: what is read of them, their tokens, and which formats hold them. */
import type { Conversation } from "../chat/conversation.ts";
import { draftOf } from "../chat/drafts.ts";
import { engineStore } from "../engine/engine-store.ts";
import { FileButton } from "../ui/file-button.tsx";
import { formatCount } from "../ui/format.ts";
import { Icon } from "../ui/icon.tsx";
import { useStore } from "../ui/store.ts";
import { formatsThatHold } from "./context-ways.ts";
import { isTooLong, LEAST_ANSWER_TOKENS, measureStore } from "./count-tokens.ts";
import { type Attachment, attachFiles, attachmentsOf, attachmentsStore, detach } from "./documents-store.ts";

export function AttachmentList({ conversation }: { readonly conversation: Conversation }) {
  const of = draftOf(conversation);
  const list = attachmentsOf(useStore(attachmentsStore), of);
  return (
    <>
      {list.length > 0 && (
        <ul class="attachments" aria-label="Documents">
          {list.map((attachment) => (
            <li key={attachment.id} class={attachment.problem ? "attachment attachment-bad" : "attachment"}>
              <Icon name={attachment.problem ? "warning" : "document"} />
              <span class="attachment-text" role={attachment.problem ? "alert" : undefined}>
                {textOf(attachment)}
              </span>
              <button
                type="button"
                class="icon-button"
                aria-label={`Remove ${attachment.name}`}
                onClick={() => detach(of, attachment.id)}
              >
                <Icon name="close" />
              </button>
            </li>
          ))}
        </ul>
      )}
      <Length conversation={conversation.id} isLong={list.some(({ document }) => document !== null)} />
    </>
  );
}

function textOf({ name, document, progress, problem }: Attachment): string {
  if (problem) return problem;
  if (progress) return `${name}: page ${progress.done} of ${progress.total}`;
  if (!document) return `Reading ${name}`;
  const { pages, text } = document;
  const size =
    pages === undefined ? `${formatCount(text.length)} characters` : `${pages} ${pages === 1 ? "page" : "pages"}`;
  return `${name}, ${size}`;
}

/** Shown once a conversation takes this part of its context. */
const WORTH_SAYING = 0.25;

/** What the next message makes of the context, and in which formats. */
function Length({ conversation, isLong }: { readonly conversation: string; readonly isLong: boolean }) {
  const measured = useStore(measureStore);
  const info = useStore(engineStore, (state) => state.info);
  if (!measured || !info || measured.conversation !== conversation) return null;
  const { tokens, limit, isAbout } = measured;
  if (!isLong && tokens < limit * WORTH_SAYING) return null;
  const { hold, short } = formatsThatHold(info, tokens + LEAST_ANSWER_TOKENS);
  const formats =
    info.reaches.length === 0
      ? ""
      : short.length === 0
        ? "; every format holds it"
        : hold.length === 0
          ? "; no format holds it here"
          : `; ${hold.join(", ")} ${hold.length === 1 ? "holds" : "hold"} it, ${short.join(", ")} ${short.length === 1 ? "does" : "do"} not`;
  return (
    <p class={isTooLong(measured) ? "length length-bad" : "length"} role="status">
      {isAbout ? "about " : ""}
      {formatCount(tokens)} {limit > 0 && `of ${formatCount(limit)} `}tokens{formats}
    </p>
  );
}

/** Picks documents, for those who do not drop them. of: from `draftOf` */
export function AttachButton({ of }: { readonly of: string }) {
  return (
    <FileButton
      class="icon-button attach-button"
      label="Add a document"
      title="Add a document: text, Markdown, code or PDF; it can also be dropped on the page"
      inputLabel="A document"
      picks="files"
      onFiles={(files) => void attachFiles(of, files)}
    >
      <Icon name="attach" />
    </FileButton>
  );
}
