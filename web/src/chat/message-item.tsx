/** @file One message with its buttons. */
import { useEffect, useRef, useState } from "preact/hooks";
import { withoutThought } from "../prose/thought.ts";
import { AnswerText } from "../prose/thought-view.tsx";
import { CopyButton } from "../ui/copy-button.tsx";
import { formatCount, formatDuration, formatRate, formatSeconds } from "../ui/format.ts";
import { Icon } from "../ui/icon.tsx";
import { answerAgain, editMessage, type Sent } from "./asking.ts";
import type { Message } from "./conversation.ts";
import type { Prefill } from "./prefill.ts";

interface MessageItemProps {
  readonly message: Message;
  /** False while an answer is being written. */
  readonly canChange: boolean;
  /** Whether the model sees nothing of what is above. */
  readonly isFirstSeen?: boolean;
  readonly prefill: Prefill | null;
  /** Which of several versions begins with this message; null where there is one only. */
  readonly version: { readonly at: number; readonly count: number } | null;
  readonly onVersion: (version: number) => void;
}

export function MessageItem(props: MessageItemProps) {
  return props.message.role === "user" ? <UserMessage {...props} /> : <Answer {...props} />;
}

/** Steps through what was said in this place. */
function Versions({ version, canChange, onVersion }: Pick<MessageItemProps, "version" | "canChange" | "onVersion">) {
  if (!version) return null;
  const { at, count } = version;
  return (
    <span class="versions">
      <button
        type="button"
        class="icon-button"
        aria-label="Version before"
        disabled={!canChange || at === 0}
        onClick={() => onVersion(at - 1)}
      >
        <Icon name="back" />
      </button>
      <span class="number" role="status">
        {at + 1} of {count}
      </span>
      <button
        type="button"
        class="icon-button"
        aria-label="Next version"
        disabled={!canChange || at === count - 1}
        onClick={() => onVersion(at + 1)}
      >
        <Icon name="forth" />
      </button>
    </span>
  );
}

/** What was made so far of messages that are being edited, by their ids: it is there again after a look at another conversation. */
const edits = new Map<string, string>();

/** Longer messages are folded: a long text is pasted to ask about it, not to read it again. */
const FOLD_LENGTH = 900;

function UserMessage({ message, canChange, isFirstSeen = false, version, onVersion }: MessageItemProps) {
  const [isEditing, setIsEditing] = useState(edits.has(message.id));
  const [isFolded, setIsFolded] = useState(message.text.length > FOLD_LENGTH);
  const close = (): void => {
    edits.delete(message.id);
    setIsEditing(false);
  };
  if (isEditing) return <EditForm message={message} canSend={canChange} onClose={close} />;
  return (
    <li class="message message-user">
      {isFirstSeen && <p class="left-out">The model no longer sees what is above.</p>}
      <h2 class="visually-hidden">You</h2>
      {message.documents && (
        <ul class="attachments" aria-label="Documents">
          {message.documents.map(({ name, text, pages }) => (
            <li key={name} class="attachment">
              <Icon name="document" />
              <span class="attachment-text">
                {name}, {pages ? `${pages} pages` : `${formatCount(text.length)} characters`}
              </span>
            </li>
          ))}
        </ul>
      )}
      <Bubble text={message.text} isFolded={isFolded} />
      <div class="message-actions">
        <Versions version={version} canChange={canChange} onVersion={onVersion} />
        {message.text.length > FOLD_LENGTH && (
          <button type="button" class="link-button" aria-expanded={!isFolded} onClick={() => setIsFolded(!isFolded)}>
            {isFolded ? `Show all ${formatCount(message.text.length)} characters` : "Show less"}
          </button>
        )}
        <button
          type="button"
          class="icon-button"
          aria-label="Edit"
          disabled={!canChange}
          onClick={() => setIsEditing(true)}
        >
          <Icon name="edit" />
        </button>
      </div>
    </li>
  );
}

/** How much of a folded message's end is shown: the question stands there. */
const END_LENGTH = 320;

/** Of a folded message its beginning and its end. */
function Bubble({ text, isFolded }: { readonly text: string; readonly isFolded: boolean }) {
  if (!isFolded) {
    return (
      <div class="bubble" dir="auto">
        {text}
      </div>
    );
  }
  const end = text.slice(-END_LENGTH);
  const line = end.indexOf("\n");
  const from = line >= 0 && line < END_LENGTH / 2 ? line + 1 : end.indexOf(" ") + 1;
  return (
    <div class="bubble" dir="auto">
      <div class="folded">{text.slice(0, FOLD_LENGTH)}</div>
      <div class="folded-end">…{end.slice(from)}</div>
    </div>
  );
}

interface EditFormProps {
  readonly message: Message;
  readonly canSend: boolean;
  readonly onClose: () => void;
}

/** It goes with the message that was edited, once another one is in its place. */
function EditForm({ message, canSend, onClose }: EditFormProps) {
  const [text, setText] = useState(edits.get(message.id) ?? message.text);
  const [unsent, setUnsent] = useState<Sent>("sent");
  const input = useRef<HTMLTextAreaElement>(null);
  useEffect(() => input.current?.focus(), []);
  const submit = (): void => {
    if (text.trim() === "" || !canSend) return;
    void editMessage(message.id, text.trim()).then((outcome) => {
      if (outcome === "sent") edits.delete(message.id);
      setUnsent(outcome);
    });
  };
  return (
    <li class="message message-user">
      <form
        class="edit-form"
        onSubmit={(event) => {
          event.preventDefault();
          submit();
        }}
      >
        <textarea
          ref={input}
          rows={Math.min(12, text.split("\n").length + 1)}
          dir="auto"
          aria-label="Your message"
          value={text}
          onInput={({ currentTarget: { value } }) => {
            setText(value);
            edits.set(message.id, value);
          }}
          onKeyDown={(event) => {
            if (event.key === "Escape") onClose();
            if (event.key === "Enter" && (event.metaKey || event.ctrlKey)) submit();
          }}
        />
        <p class="hint">What was said from here on stays as another version.</p>
        {unsent !== "sent" && (
          <p class="problem" role="alert">
            {unsent === "not now"
              ? "Not sent: no model can answer now. Choose one, or wait for the answer that is being written."
              : `Not sent: ${formatCount(unsent.tokens)} tokens do not fit into ${formatCount(unsent.limit)}. Make the message shorter, or choose a smaller cache format.`}
          </p>
        )}
        <div class="row row-end">
          <button type="button" class="button" onClick={onClose}>
            Cancel
          </button>
          <button type="submit" class="button button-primary" disabled={!canSend}>
            Send
          </button>
        </div>
      </form>
    </li>
  );
}

function Answer({ message, canChange, prefill, version, onVersion }: MessageItemProps) {
  const { text, state, problem, figures } = message;
  const isStreaming = state === "streaming";
  return (
    <li class="message message-answer" aria-busy={isStreaming}>
      <h2 class="visually-hidden">Answer</h2>
      {isStreaming && text === "" ? <Waiting prefill={prefill} /> : <AnswerText text={text} isWriting={isStreaming} />}
      {!isStreaming && text === "" && !problem && <p class="hint">No text.</p>}
      {problem && (
        <p class="message-problem">
          <Icon name="warning" />
          {problem}
        </p>
      )}
      {!isStreaming && (
        <div class="message-actions">
          <Versions version={version} canChange={canChange} onVersion={onVersion} />
          <CopyButton text={withoutThought(text)} />
          <button
            type="button"
            class="icon-button"
            aria-label="Answer again"
            title="Answer again"
            disabled={!canChange}
            onClick={() => void answerAgain(message.id)}
          >
            <Icon name="again" />
          </button>
          {state === "stopped" && <span class="tag">stopped</span>}
          {state === "cut" && <span class="tag">at the limit of tokens</span>}
          {state === "interrupted" && <span class="tag">interrupted</span>}
          {figures && (
            <span class="figures number">
              {formatRate(figures.tokPerSec)} tok/s · first after {formatSeconds(figures.ttftMs)} ·{" "}
              {formatCount(figures.tokens)} tokens{figures.kv && ` · ${figures.kv}`}
            </span>
          )}
        </div>
      )}
    </li>
  );
}

function Waiting({ prefill }: Pick<MessageItemProps, "prefill">) {
  if (!prefill || prefill.total < 64) return <p class="waiting" role="img" aria-label="Thinking" />;
  const { done, total, secondsLeft } = prefill;
  const text = `Reading the prompt, ${formatCount(done)} of ${formatCount(total)} tokens`;
  return (
    <div class="load-status">
      <p class="number">
        {text}
        {secondsLeft !== null && `, ${formatDuration(secondsLeft)} left`}
      </p>
      <progress value={done} max={total} aria-label={text} />
    </div>
  );
}
