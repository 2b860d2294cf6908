/** @file Selects the light or dark theme, or that of the system. The choice survives a reload. */
import { useState } from "preact/hooks";
import { Icon, type IconName } from "./icon.tsx";

const THEMES = ["auto", "light", "dark"] as const;
type Theme = (typeof THEMES)[number];

const ICONS: Readonly<Record<Theme, IconName>> = { auto: "auto", light: "sun", dark: "moon" };
const LABELS: Readonly<Record<Theme, string>> = { auto: "as the system", light: "light", dark: "dark" };
/** The value is plain text and not JSON, because index.html reads it before any script is loaded. */
const KEY = "turboquant.theme";

function currentTheme(): Theme {
  const theme = document.documentElement.dataset["theme"];
  return theme === "light" || theme === "dark" ? theme : "auto";
}

function setTheme(theme: Theme): void {
  if (theme === "auto") delete document.documentElement.dataset["theme"];
  else document.documentElement.dataset["theme"] = theme;
  try {
    localStorage.setItem(KEY, theme);
  } catch {
    // Storage is forbidden, so the choice lasts as long as the page.
  }
}

/** Colours the browser's own bars as the page is, and not as the system. */
export function followTheme(): void {
  const meta =
    document.querySelector('meta[name="theme-color"]') ?? document.head.appendChild(document.createElement("meta"));
  meta.setAttribute("name", "theme-color");
  for (const other of document.querySelectorAll('meta[name="theme-color"]')) if (other !== meta) other.remove();
  meta.removeAttribute("media");
  const show = (): void => meta.setAttribute("content", getComputedStyle(document.body).backgroundColor);
  show();
  new MutationObserver(show).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);
}

export function ThemeButton() {
  const [theme, show] = useState(currentTheme);
  const next = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length]!;
  return (
    <button
      type="button"
      class="icon-button"
      aria-label={`Theme: ${LABELS[theme]}. Change to ${LABELS[next]}`}
      title={`Theme: ${LABELS[theme]}`}
      onClick={() => {
        setTheme(next);
        show(next);
      }}
    >
      <Icon name={ICONS[theme]} />
    </button>
  );
}
