/** @file The view of the current conversation, with the field for the next message. */
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { AttachmentList } from "../documents/attachments.tsx";
import { ContextGuard } from "../documents/context-guard.tsx";
import { dismissError, engineStore } from "../engine/engine-store.ts";
import { Icon } from "../ui/icon.tsx";
import { useStore } from "../ui/store.ts";
import { chooseVersion } from "./change-current.ts";
import { chatStore } from "./chat-store.ts";
import { Composer } from "./composer.tsx";
import { startOf, versionAt } from "./conversation.ts";
import { LoadStatus } from "./load-status.tsx";
import { MessageItem } from "./message-item.tsx";
import { WaitingNote } from "./waiting-note.tsx";
import { Welcome } from "./welcome.tsx";

/** When the view is scrolled to within this distance of the end, it follows the text being written. */
const FOLLOW_PX = 80;

export function ChatView({ onChooseModel }: { readonly onChooseModel: () => void }) {
  const { current, isAnswering, isAnsweredElsewhere, prefill } = useStore(chatStore);
  const scroller = useRef<HTMLDivElement>(null);
  const [isAway, setIsAway] = useState(false);
  const follows = useRef(true);
  useEffect(() => {
    follows.current = true;
  }, [current.id]);
  useLayoutEffect(() => {
    const element = scroller.current;
    if (!element) return;
    // The welcome is read from its beginning.
    if (current.messages.length === 0) element.scrollTop = 0;
    else if (follows.current) element.scrollTop = element.scrollHeight;
  }, [current]);
  const last = current.messages.at(-1);
  return (
    <div class="chat">
      <div
        class="chat-scroll"
        ref={scroller}
        onScroll={({ currentTarget: { scrollTop, scrollHeight, clientHeight } }) => {
          follows.current = scrollHeight - scrollTop - clientHeight < FOLLOW_PX;
          setIsAway(!follows.current);
        }}
      >
        {current.messages.length === 0 ? (
          <Welcome />
        ) : (
          <>
            <h1 class="visually-hidden">{current.title}</h1>
            <ol class="messages" aria-label={current.title}>
              {current.messages.map((message, index) => (
                <MessageItem
                  key={message.id}
                  isFirstSeen={index > 0 && index === startOf(current)}
                  message={message}
                  canChange={!isAnswering && !isAnsweredElsewhere}
                  prefill={message === last ? prefill : null}
                  version={versionAt(current, index)}
                  onVersion={(version) => chooseVersion(index, version)}
                />
              ))}
            </ol>
          </>
        )}
      </div>
      <div class="chat-foot">
        {isAway && current.messages.length > 0 && (
          <button
            type="button"
            class="to-end"
            aria-label="To the end"
            title="To the end"
            onClick={() => {
              const element = scroller.current!;
              element.scrollTop = element.scrollHeight;
            }}
          >
            <Icon name="chevron" />
          </button>
        )}
        <NotKept />
        <EngineProblem onChooseModel={onChooseModel} />
        <LoadStatus />
        <WaitingNote />
        <ContextGuard />
        <AttachmentList conversation={current} />
        <Composer />
        {/* Announces whole answers only: single tokens would drown everything else. */}
        <p class="visually-hidden" role="status">
          {isAnswering ? "Answering" : last?.role === "assistant" ? last.text : ""}
        </p>
      </div>
    </div>
  );
}

/** Says beside the composer what will be lost, also where the sidebar is closed. */
function NotKept() {
  const notice = useStore(chatStore, (state) => state.notice);
  if (!notice) return null;
  return (
    <div class="banner banner-bad not-kept" role="alert">
      <Icon name="warning" />
      <p>{notice}</p>
    </div>
  );
}

function EngineProblem({ onChooseModel }: { readonly onChooseModel: () => void }) {
  const { status, error, info } = useStore(engineStore);
  if (!error) return null;
  const isLoss = error.code === "device_lost";
  const [head, rest] = !isLoss
    ? [info ? `The model could not be loaded; ${info.name} goes on.` : "The model could not be loaded.", error.message]
    : status === "ready"
      ? [
          "The graphics device was lost and is back.",
          `The model is loaded again (${info?.backend}). Your conversation is kept; its cache is computed again with the next message.`,
        ]
      : ["The graphics device was lost.", "The model is being loaded again; your conversation is kept."];
  return (
    <div class={isLoss && status === "ready" ? "banner" : "banner banner-bad"} role="alert">
      <Icon name="warning" />
      <p>
        <strong>{head}</strong> {rest}
      </p>
      {status === "failed" && (
        <button type="button" class="button" onClick={onChooseModel}>
          Choose a model
        </button>
      )}
      <button type="button" class="icon-button" aria-label="Dismiss" onClick={dismissError}>
        <Icon name="close" />
      </button>
    </div>
  );
}
