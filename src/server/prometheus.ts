/** @file Counters, gauges and histograms in Prometheus' text format. */

type Labels = Readonly<Record<string, string>>;

const escapeLabel = (value: string): string => value.replace(/\\/g, "\\\\").replace(/"/g, '\\"').replace(/\n/g, "\\n");

function labelText(labels: Labels): string {
  const parts = Object.entries(labels).map(([name, value]) => `${name}="${escapeLabel(value)}"`);
  return parts.length > 0 ? `{${parts.join(",")}}` : "";
}

const numberText = (value: number): string =>
  value === Number.POSITIVE_INFINITY ? "+Inf" : value === Number.NEGATIVE_INFINITY ? "-Inf" : String(value);

interface Metric {
  readonly name: string;
  readonly type: "counter" | "gauge" | "histogram";
  readonly help: string;
  lines(name: string, labels: Labels): string[];
}

export class Counter {
  readonly #values = new Map<string, { readonly labels: Labels; value: number }>();

  add(amount = 1, labels: Labels = {}): void {
    const key = labelText(labels);
    const series = this.#values.get(key);
    if (series) series.value += amount;
    else this.#values.set(key, { labels, value: amount });
  }

  lines(name: string, common: Labels): string[] {
    return [...this.#values.values()].map(
      ({ labels, value }) => `${name}${labelText({ ...common, ...labels })} ${numberText(value)}`,
    );
  }
}

export class Histogram {
  /** Upper bounds of the buckets, ascending. */
  readonly #bounds: readonly number[];
  readonly #counts: number[];
  #sum = 0;

  constructor(bounds: readonly number[]) {
    this.#bounds = bounds;
    this.#counts = Array.from({ length: bounds.length + 1 }, () => 0);
  }

  observe(value: number): void {
    let index = this.#bounds.findIndex((bound) => value <= bound);
    if (index < 0) index = this.#bounds.length;
    this.#counts[index] = this.#counts[index]! + 1;
    this.#sum += value;
  }

  lines(name: string, common: Labels): string[] {
    let total = 0;
    const buckets = this.#counts.map((count, i) => {
      total += count;
      const le = numberText(this.#bounds[i] ?? Number.POSITIVE_INFINITY);
      return `${name}_bucket${labelText({ ...common, le })} ${total}`;
    });
    return [...buckets, `${name}_sum${labelText(common)} ${this.#sum}`, `${name}_count${labelText(common)} ${total}`];
  }
}

export class Registry {
  readonly #prefix: string;
  readonly #labels: Labels;
  readonly #metrics: Metric[] = [];

  /** prefix: put before every name, such as `turboquant:` · labels: put on every line */
  constructor(prefix: string, labels: Labels) {
    this.#prefix = prefix;
    this.#labels = labels;
  }

  counter(name: string, help: string): Counter {
    const counter = new Counter();
    this.#metrics.push({ name, type: "counter", help, lines: (full, labels) => counter.lines(full, labels) });
    return counter;
  }

  histogram(name: string, help: string, bounds: readonly number[]): Histogram {
    const histogram = new Histogram(bounds);
    this.#metrics.push({ name, type: "histogram", help, lines: (full, labels) => histogram.lines(full, labels) });
    return histogram;
  }

  /** A gauge; `read` is called when the text is made. */
  gauge(name: string, help: string, read: () => number, labels: Labels = {}): void {
    this.#add(name, "gauge", help, read, labels);
  }

  /** A counter whose value is kept elsewhere; `read` is called when the text is made. */
  reading(name: string, help: string, read: () => number): void {
    this.#add(name, "counter", help, read, {});
  }

  #add(name: string, type: "gauge" | "counter", help: string, read: () => number, own: Labels): void {
    const lines = (full: string, common: Labels): string[] => [
      `${full}${labelText({ ...common, ...own })} ${numberText(read())}`,
    ];
    this.#metrics.push({ name, type, help, lines });
  }

  text(): string {
    let text = "";
    let described = "";
    for (const { name, type, help, lines } of this.#metrics) {
      const full = this.#prefix + name;
      if (full !== described) text += `# HELP ${full} ${help}\n# TYPE ${full} ${type}\n`;
      described = full;
      text += lines(full, this.#labels)
        .map((line) => `${line}\n`)
        .join("");
    }
    return text;
  }
}
