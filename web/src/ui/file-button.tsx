/** @file A button that opens the browser's file dialog. */
import type { ComponentChildren } from "preact";
import { useRef } from "preact/hooks";

interface FileButtonProps {
  readonly class: string;
  /** Of the hidden input, for assistive technology. */
  readonly inputLabel: string;
  /** A folder is picked where the browser can; others let the user pick its files. */
  readonly picks: "file" | "files" | "folder";
  /** Extensions and types of files, with commas between them; all where it is absent. */
  readonly accept?: string;
  /** Of the button, where it has no text. */
  readonly label?: string;
  readonly title?: string;
  readonly isDisabled?: boolean;
  readonly onFiles: (files: readonly File[]) => void;
  readonly children: ComponentChildren;
}

export function FileButton({ inputLabel, picks, accept, label, title, isDisabled, onFiles, ...rest }: FileButtonProps) {
  const input = useRef<HTMLInputElement>(null);
  return (
    <>
      <button
        type="button"
        class={rest.class}
        aria-label={label}
        title={title}
        disabled={isDisabled}
        onClick={() => input.current?.click()}
      >
        {rest.children}
      </button>
      <input
        {...(picks === "folder" && { webkitdirectory: true })}
        ref={input}
        type="file"
        accept={accept}
        multiple={picks !== "file"}
        class="visually-hidden"
        tabIndex={-1}
        aria-label={inputLabel}
        onChange={({ currentTarget }) => {
          const files = [...(currentTarget.files ?? [])];
          // So that the same file can be picked again.
          currentTarget.value = "";
          if (files.length > 0 || picks === "folder") onFiles(files);
        }}
      />
    </>
  );
}
