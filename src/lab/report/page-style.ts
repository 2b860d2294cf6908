/** @file The style sheet of a report: one column of text, slightly wider figures, light and dark theme, print. */
import { paletteCss } from "./palette.ts";
import { FIGURE_FONT } from "./plot-context.ts";

const TEXT_FONT =
  '"Iowan Old Style","Palatino Linotype",Palatino,"Source Serif 4","Source Serif Pro",Charter,Georgia,"DejaVu Serif",serif';

export const PAGE_STYLE = `
:root{color-scheme:light dark;${paletteCss("light")}}
@media (prefers-color-scheme:dark){:root{${paletteCss("dark")}}}
:root[data-theme=light]{color-scheme:light;${paletteCss("light")}}
:root[data-theme=dark]{color-scheme:dark;${paletteCss("dark")}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--paper);color:var(--ink);font:17px/1.55 ${TEXT_FONT};font-variant-numeric:oldstyle-nums}
main{max-width:820px;margin:0 auto;padding:56px 24px 96px}
header{position:relative;border-bottom:1px solid var(--rule);padding-bottom:22px;margin-bottom:34px}
h1{font-size:34px;line-height:1.15;font-weight:500;letter-spacing:-.01em;margin:0 84px 8px 0}
h2{font-size:23px;font-weight:500;margin:56px 0 14px}
h3{font-size:18px;font-weight:600;margin:0}
p{margin:0 0 14px}
.soft{color:var(--soft)}
button{position:absolute;right:0;top:4px;font:13px ${FIGURE_FONT};color:var(--soft);background:none;border:1px solid var(--rule);border-radius:99px;padding:5px 13px;cursor:pointer}
button:hover{color:var(--ink);border-color:var(--faint)}
:focus-visible{outline:2px solid var(--ours);outline-offset:2px}
figure{margin:40px -14px;padding:22px 14px 18px;background:var(--panel);border:1px solid var(--grid);border-radius:8px}
figure svg{display:block;width:100%;height:auto;margin:10px 0 12px}
figcaption{font-size:15px;line-height:1.5;color:var(--soft);max-width:720px}
figcaption b{color:var(--ink);font-weight:600}
.scroll{overflow-x:auto}
table{border-collapse:collapse;font:13.5px/1.45 ${FIGURE_FONT};font-variant-numeric:tabular-nums lining-nums;width:100%;margin:6px 0 2px}
th,td{padding:6px 12px 6px 0;text-align:right;white-space:nowrap;border-bottom:1px solid var(--grid)}
th{font-weight:600;color:var(--soft)}
th:first-child,td:first-child{text-align:left}
.text{text-align:left}
tr:last-child td{border-bottom:0}
code{font:13.5px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;font-variant-numeric:lining-nums}
.cards{display:grid;gap:16px;grid-template-columns:repeat(auto-fit,minmax(min(340px,100%),1fr))}
.card{min-width:0;background:var(--panel);border:1px solid var(--grid);border-radius:8px;padding:18px 20px}
.card .gate{font:600 12px ${FIGURE_FONT};text-transform:uppercase;letter-spacing:.07em;color:var(--soft)}
.card .spec{font:600 22px ${FIGURE_FONT};letter-spacing:-.01em;margin:4px 0 8px;overflow-wrap:anywhere}
.card p{font-size:15px;margin:0 0 8px;color:var(--soft)}
.card table{margin:4px 0 12px;font-size:13px}.card td{padding:4px 8px 4px 0}.card td:last-child{padding-right:0}
.card code{font-size:12.5px;overflow-wrap:anywhere}
.card pre{white-space:pre-wrap;margin:10px 0 0;padding:9px 12px;background:var(--paper);border:1px solid var(--grid);border-radius:6px;overflow:hidden}
.pass{color:var(--good)}.open{color:var(--warn)}.fail{color:var(--bad)}
details summary{cursor:pointer;color:var(--soft);font-size:15px}
@media (max-width:560px){body{font-size:16px}main{padding:32px 16px 64px}h1{font-size:26px}.cards{grid-template-columns:1fr}figure svg{min-width:620px}figure .picture{overflow-x:auto}}
@media print{button{display:none}figure,.card{break-inside:avoid;border-color:#ccc}main{max-width:none;padding:0}}
`.replace(/\n/g, "");

/** Switches between the two themes. It stores nothing and loads nothing. */
export const THEME_SCRIPT =
  "document.querySelector('button').onclick=()=>{const r=document.documentElement;" +
  "const dark=r.dataset.theme?r.dataset.theme==='dark':matchMedia('(prefers-color-scheme: dark)').matches;" +
  "r.dataset.theme=dark?'light':'dark'}";
