/**
 * @file Draws how far contexts reach in a memory, with f16 and with codes: `npx tsx tools/context-chart.ts [--memory 8GB] [--out docs/images]`.
 *
 * The longest contexts are those that `turboquant plan` prints for public models with weights of 4 bits. A picture for each theme.
 */
import "../src/node/install.ts";
import { writePictures } from "../src/cli/report/write-pictures.ts";
import { runCli } from "../src/cli/run-cli.ts";
import { color } from "../src/lab/report/palette.ts";
import { draw, loadPlot } from "../src/lab/report/plot-context.ts";
import { captureIo } from "../test/support/cli-io.ts";
import { readCommandLine } from "./command-line.ts";

const MODELS = {
  "llama-3.2-3b": "Llama 3.2 3B",
  "qwen3-4b": "Qwen3 4B",
  "qwen3-8b": "Qwen3 8B",
  "llama-3.1-8b": "Llama 3.1 8B",
};
const FORMATS = ["f16", "k4v4", "k3v3"];
const COLORS = ["baseline", "ours", "good"];

const { values } = readCommandLine({
  options: { memory: { type: "string", default: "8GB" }, out: { type: "string", default: "docs/images" } },
});

interface Reach {
  readonly model: string;
  readonly kv: string;
  readonly tokens: number;
}

async function reachOf(shape: string, model: string): Promise<Reach[]> {
  const io = captureIo();
  const args = [
    "plan",
    "--shape",
    shape,
    "--memory",
    values.memory,
    "--weights",
    "q4",
    "--kv",
    FORMATS.join(","),
    "--json",
  ];
  // 3: the whole context of the model does not fit, which is no failure here.
  if (![0, 3].includes(await runCli(args, io))) throw new Error(io.err());
  const { formats } = JSON.parse(io.out()) as { formats: { kv: string; longestContext: number }[] };
  return formats.map(({ kv, longestContext }) => ({ model, kv, tokens: longestContext }));
}

const bars = (await Promise.all(Object.entries(MODELS).map(([shape, name]) => reachOf(shape, name)))).flat();
const context = await loadPlot();
const { Plot } = context;
const { svg } = draw(
  context,
  `Longest context in ${values.memory} of memory with weights of 4 bits, by model and KV format`,
  {
    height: 40 + 92 * Object.keys(MODELS).length,
    marginLeft: 150,
    marginRight: 110,
    marginTop: 10,
    x: {
      domain: [0, Math.max(...bars.map(({ tokens }) => tokens))],
      label: `longest context in ${values.memory}, tokens`,
      labelAnchor: "center",
      labelArrow: "none",
      tickSize: 4,
      ticks: 5,
    },
    y: { type: "band", domain: FORMATS, label: null, tickSize: 0, padding: 0.18 },
    fy: { domain: Object.values(MODELS), label: null, axis: null, padding: 0.16 },
    color: { domain: FORMATS, range: COLORS.map((name) => color(name)) },
    marks: [
      Plot.gridX({ stroke: color("grid"), strokeOpacity: 1, ticks: 5 }),
      Plot.barX(bars, { x: "tokens", y: "kv", fy: "model", fill: "kv", rx: 2 }),
      Plot.ruleX([0], { stroke: color("rule") }),
      Plot.text(bars, {
        x: "tokens",
        y: "kv",
        fy: "model",
        text: ({ tokens }: Reach) => tokens.toLocaleString("en-US"),
        textAnchor: "start",
        dx: 7,
        fill: color("ink"),
        fontVariant: "tabular-nums",
      }),
      Plot.text(Object.values(MODELS), {
        fy: (name: string) => name,
        text: (name: string) => name,
        frameAnchor: "left",
        dx: -140,
        fontWeight: 600,
        textAnchor: "start",
        fill: color("ink"),
      }),
    ],
  },
);
const figure = { id: `context-${values.memory.toLowerCase()}`, title: "", caption: "", svg };
for (const path of await writePictures([figure], values.out, false)) process.stdout.write(`${path}\n`);
