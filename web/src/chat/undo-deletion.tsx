/** @file Offers for some seconds to take back the deletion of a conversation, whatever is shown meanwhile. */
import { useStore } from "../ui/store.ts";
import { deletedStore, undoDelete } from "./delete-conversation.ts";

export function UndoDeletion() {
  const deleted = useStore(deletedStore);
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
