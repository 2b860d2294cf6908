/** @file Icons as strokes on a 20 × 20 grid. They are decoration: the controls they are in have labels. */

const PATHS = {
  menu: "M3.5 6h13M3.5 10h13M3.5 14h13",
  plus: "M10 4v12M4 10h12",
  check: "M4.5 10.5l3.5 3.5 7.5-8",
  back: "M12 5l-5 5 5 5",
  forth: "M8 5l5 5-5 5",
  search: "M9 4a5 5 0 1 0 0 10 5 5 0 0 0 0-10zM12.8 12.8L16 16",
  close: "M5 5l10 10M15 5L5 15",
  send: "M10 16V4.5M5 9.5l5-5 5 5",
  stop: "M6.5 6.5h7v7h-7z",
  edit: "M4 16l.8-3.4L13 4.4a1.4 1.4 0 0 1 2 0l.6.6a1.4 1.4 0 0 1 0 2L7.4 15.2 4 16z",
  again: "M15.5 6.5A6.5 6.5 0 1 0 16.5 11M15.8 3.5v3.2h-3.2",
  copy: "M7.5 7.5h8v8h-8zM12.5 7.5v-3h-8v8h3",
  trash: "M4.5 6h11M8 6V4.5h4V6M6 6l.7 9.5h6.6L14 6",
  sun: "M10 6.8a3.2 3.2 0 1 0 0 6.4 3.2 3.2 0 0 0 0-6.4zM10 2.5v1.6M10 15.9v1.6M2.5 10h1.6M15.9 10h1.6M4.7 4.7l1.1 1.1M14.2 14.2l1.1 1.1M4.7 15.3l1.1-1.1M14.2 5.8l1.1-1.1",
  moon: "M15.8 12.2A6.5 6.5 0 0 1 7.8 4.2a6.5 6.5 0 1 0 8 8z",
  auto: "M10 3.5a6.5 6.5 0 1 0 0 13 6.5 6.5 0 0 0 0-13zM10 3.5v13M10 7h5M10 10h6.4M10 13h5",
  chat: "M4 5h12v8.5H9L5.5 16v-2.5H4z",
  compare: "M4 4.5h5v11H4zM11 4.5h5v11h-5z",
  plan: "M4 15.5h12M5.5 13V9.5M10 13V4.5M14.5 13V7.5",
  report: "M5 3.5h7l3 3v10H5zM12 3.5v3h3M7.5 13.5v-2M10 13.5v-4M12.5 13.5v-3",
  memory: "M4 5.5h12M4 10h7.5M4 14.5h4",
  chevron: "M6 8l4 4 4-4",
  save: "M10 4v8M6.5 9l3.5 3.5L13.5 9M4 15.5h12",
  restore: "M10 12.5v-8M6.5 7.5L10 4l3.5 3.5M4 15.5h12",
  settings: "M4 6.5h6M14 6.5h2M4 13.5h2M10 13.5h6M12 4.7v3.6M8 11.7v3.6",
  folder: "M3.5 5.5h5l1.5 2h6.5v8h-13z",
  attach: "M14.5 9.5l-5 5a3.2 3.2 0 0 1-4.5-4.5l6-6a2.1 2.1 0 0 1 3 3l-5.8 5.8a1 1 0 0 1-1.5-1.5L12 6",
  document: "M5.5 3.5h6l3 3v10h-9zM11.5 3.5v3h3M8 10h4M8 13h4",
  warning: "M10 4l7 12H3zM10 8.5v3.5M10 14v.2",
} as const;

export type IconName = keyof typeof PATHS;

export function Icon({ name }: { readonly name: IconName }) {
  return (
    <svg class="icon" viewBox="0 0 20 20" aria-hidden="true">
      <path d={PATHS[name]} />
    </svg>
  );
}
