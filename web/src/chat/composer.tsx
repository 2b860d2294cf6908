/** @file The field for the next message. Enter sends, Shift+Enter breaks the line, Escape stops an answer. */
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { AttachButton } from "../documents/attachments.tsx";
import { attachFiles, attachmentsOf, attachmentsStore, attachText, documentsOf } from "../documents/documents-store.ts";
import { engineStore } from "../engine/engine-store.ts";
import { Icon } from "../ui/icon.tsx";
import { useStore } from "../ui/store.ts";
import { useMedia } from "../ui/use-media.ts";
import { sendMessage } from "./asking.ts";
import { chatStore, stopAnswer } from "./chat-store.ts";
import { draftOf, draftStore, openDraft, writeDraft } from "./drafts.ts";
import { isOnItsWay, sendWhenReady, waitingStore } from "./waiting-question.ts";

/** A pasted text of so many characters is a document to be asked about, not a message. */
const LONG_PASTE = 4000;

/** The field grows with its text, up to a third of the window (styles/chat.css). */
function growToText(element: HTMLTextAreaElement | null): void {
  if (!element) return;
  element.style.height = "auto";
  element.style.height = `${element.scrollHeight}px`;
}

export function Composer() {
  const draft = useStore(draftStore);
  const { isAnswering, isAnsweredElsewhere, current } = useStore(chatStore);
  // The model that works answers also while another one is loaded.
  const canAnswer = useStore(engineStore, ({ engine }) => engine !== null);
  const canWait = useStore(engineStore, isOnItsWay);
  const isWaiting = useStore(waitingStore, (waiting) => waiting !== null);
  const input = useRef<HTMLTextAreaElement>(null);
  const isTouch = useMedia("(pointer: coarse)");
  const [isComposing, setIsComposing] = useState(false);
  const of = draftOf(current);
  useLayoutEffect(() => openDraft(of), [of]);
  useEffect(() => growToText(input.current), [draft]);
  useEffect(() => {
    // On a phone, focusing would open the keyboard over the page.
    if (matchMedia("(pointer: fine)").matches) input.current?.focus();
  }, [current.id]);
  const attachments = attachmentsOf(useStore(attachmentsStore), of);
  const isReading = attachments.some(({ document, problem }) => !document && !problem);
  const isFree = (canAnswer || (canWait && !isWaiting)) && !isAnswering && !isAnsweredElsewhere && !isReading;
  const send = (): void => {
    // Enter may come before the last keystroke is rendered, so the text is taken from the store.
    const text = draftStore.get().trim();
    if (!isFree || text === "") return;
    if (!canAnswer) sendWhenReady();
    else void sendMessage(text, { documents: documentsOf(attachmentsOf(attachmentsStore.get(), of)) });
  };
  return (
    <form
      class="composer"
      onSubmit={(event) => {
        event.preventDefault();
        send();
      }}
    >
      <AttachButton of={of} />
      <label class="visually-hidden" for="composer-input">
        Message
      </label>
      <textarea
        id="composer-input"
        ref={input}
        rows={1}
        dir="auto"
        enterkeyhint={isTouch ? "enter" : "send"}
        value={draft}
        placeholder={
          isAnsweredElsewhere
            ? "Another tab is answering this conversation"
            : attachments.length > 0
              ? "Ask about it"
              : "Say something"
        }
        onPaste={(event) => {
          const { clipboardData } = event;
          const files = [...(clipboardData?.files ?? [])];
          const text = clipboardData?.getData("text/plain") ?? "";
          if (files.length === 0 && text.length < LONG_PASTE) return;
          event.preventDefault();
          if (files.length > 0) void attachFiles(of, files);
          else attachText(of, text);
        }}
        onInput={({ currentTarget }) => writeDraft(currentTarget.value)}
        onCompositionStart={() => setIsComposing(true)}
        onCompositionEnd={() => setIsComposing(false)}
        onKeyDown={(event) => {
          if (event.key === "Escape" && isAnswering) stopAnswer();
          // On a phone Enter breaks the line, since there is no Shift to do it with.
          if (event.key !== "Enter" || event.shiftKey || isComposing || isTouch) return;
          event.preventDefault();
          send();
        }}
      />
      {/* Send and stop are one button, so that it keeps the focus. */}
      <button
        type={isAnswering ? "button" : "submit"}
        class="send-button"
        aria-label={isAnswering ? "Stop" : "Send"}
        title={isAnswering ? "Stop (Escape)" : "Send (Enter)"}
        disabled={!isAnswering && !(isFree && draft.trim() !== "")}
        onClick={(event) => {
          if (!isAnswering) return;
          event.preventDefault();
          stopAnswer();
        }}
      >
        <Icon name={isAnswering ? "stop" : "send"} />
      </button>
    </form>
  );
}
