/** @file Colours of the report: names that the page resolves for its light and dark theme, and their values for picture files. */

export const THEMES = ["light", "dark"] as const;
export type Theme = (typeof THEMES)[number];

/** Colours that remain distinct with the common kinds of colour blindness (after Okabe and Ito), in print and on both backgrounds. */
export const PALETTE: Readonly<Record<string, Readonly<Record<Theme, string>>>> = {
  paper: { light: "#fdfcfa", dark: "#15171a" },
  panel: { light: "#ffffff", dark: "#1b1e22" },
  ink: { light: "#1c1e21", dark: "#e9e7e2" },
  soft: { light: "#5d6167", dark: "#a3a7ad" },
  faint: { light: "#8d9197", dark: "#71767d" },
  grid: { light: "#e8e6e1", dark: "#2b2f34" },
  rule: { light: "#d5d2cb", dark: "#3a3f45" },
  ours: { light: "#0b6e8f", dark: "#4fb3d4" },
  published: { light: "#c4541a", dark: "#ee8a55" },
  qjl: { light: "#8a4fa3", dark: "#c393d9" },
  baseline: { light: "#6b7079", dark: "#9aa0a8" },
  exact: { light: "#1c1e21", dark: "#e9e7e2" },
  good: { light: "#2c7a4b", dark: "#6cc08b" },
  warn: { light: "#a86a00", dark: "#e0aa4a" },
  bad: { light: "#b03a2e", dark: "#e57f72" },
};

/** The colour as figures refer to it, e.g. `var(--ours)`. */
export const color = (name: keyof typeof PALETTE): string => `var(--${name})`;

/** The colours as declarations for a style sheet. */
export function paletteCss(theme: Theme): string {
  return Object.entries(PALETTE)
    .map(([name, values]) => `--${name}:${values[theme]}`)
    .join(";");
}

/** Replaces the variables of a figure by colours, for programs that do not support variables. */
export function resolveColors(svg: string, theme: Theme): string {
  return svg.replace(/var\(--([a-z]+)\)/g, (whole, name: string) => PALETTE[name]?.[theme] ?? whole);
}

const SCALE: readonly (readonly [number, number, number])[] = [
  [12, 98, 120], // good: deep teal
  [118, 176, 178],
  [238, 226, 196], // at the gate: sand
  [222, 148, 92],
  [152, 48, 38], // broken: rust
];

/** Background colour for a share from 0 (good) to 1 (bad), the same in both themes, and a readable text colour on it. */
export function heatColor(share: number): { fill: string; text: string } {
  const at = Math.min(0.9999, Math.max(0, share)) * (SCALE.length - 1);
  const [a, b] = [SCALE[Math.floor(at)]!, SCALE[Math.floor(at) + 1]!];
  const mixed = a.map((from, i) => Math.round(from + (b[i]! - from) * (at % 1)));
  const luminance = (0.2126 * mixed[0]! + 0.7152 * mixed[1]! + 0.0722 * mixed[2]!) / 255;
  return { fill: `rgb(${mixed.join(",")})`, text: luminance > 0.5 ? "#1c1e21" : "#ffffff" };
}
