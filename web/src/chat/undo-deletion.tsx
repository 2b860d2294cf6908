/** @file Offers for some seconds to take back the deletion of a conversation, whatever is shown meanwhile. */
import { useStore } from "../ui/store.ts";
import { chatStore, undoDelete } from "./chat-store.ts";

export function UndoDeletion() {
  const deleted = useStore(chatStore, (state) => state.deleted);
  if (!deleted) return null;
  return (
    <div class="banner undo-deletion" role="status">
      <p>
        Deleted: <strong>{deleted.title}</strong>
      </p>
      <button type="button" class="button" onClick={() => void undoDelete()}>
        Undo
      </button>
    </div>
  );
}
