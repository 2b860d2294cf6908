/** @file A button that copies a text. */
import { useState } from "preact/hooks";
import { Icon } from "./icon.tsx";

/** How long "copied" is shown. */
const COPIED_MS = 1500;

export function CopyButton({ text, label = "Copy" }: { readonly text: string; readonly label?: string }) {
  const [isCopied, setIsCopied] = useState(false);
  const copy = async (): Promise<void> => {
    await navigator.clipboard.writeText(text);
    setIsCopied(true);
    setTimeout(() => setIsCopied(false), COPIED_MS);
  };
  // Pages served over plain HTTP have no clipboard.
  if (!navigator.clipboard) return null;
  return (
    <button
      type="button"
      class="icon-button"
      aria-label={isCopied ? "Copied" : label}
      title={label}
      onClick={() => void copy()}
    >
      <Icon name={isCopied ? "check" : "copy"} />
    </button>
  );
}
