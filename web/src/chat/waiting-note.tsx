/** @file Says beside the field that a question waits for the model, and takes it back. */
import { useStore } from "../ui/store.ts";
import { takeBack, waitingStore } from "./waiting-question.ts";

export function WaitingNote() {
  const waiting = useStore(waitingStore);
  if (!waiting) return null;
  return (
    <div class="banner waiting-note" role="status">
      <p>
        {waiting.starter ? <strong>{waiting.starter.title}</strong> : "What stands below"} is asked as soon as the model
        is ready.
      </p>
      <button type="button" class="button" onClick={takeBack}>
        Take back
      </button>
    </div>
  );
}
