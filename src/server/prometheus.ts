/** @file Counters, gauges and histograms in Prometheus' text format. */

type Labels = Readonly<Record<string, string>>;

const escapeLabel = (value: string): string => value.replace(/\\/g, "\\\\").replace(/"/g, '\\"').replace(/\n/g, "\\n");

function labelText(labels: Labels): string {
  const parts = Object.entries(labels).map(([name, value]) => `${name}="${escapeLabel(value)}"`);
  return parts.length > 0 ? `{${parts.join(",")}}` : "";
}

const numberText = (value: number): string =>
  value === Number.POSITIVE_INFINITY ? "+Inf" : value === Number.NEGATIVE_INFINITY ? "-Inf" : String(value);

/** All series of one name. */
interface Family {
  readonly type: "counter" | "gauge" | "histogram";
  readonly help: string;
  readonly series: ((name: string) => string[])[];
}

export class Counter {
  readonly #values = new Map<string, { readonly labels: Labels; value: number }>();

  add(amount = 1, labels: Labels = {}): void {
    const key = labelText(labels);
    const series = this.#values.get(key);
    if (series) series.value += amount;
    else this.#values.set(key, { labels, value: amount });
  }

  /** Of all labels. */
  get total(): number {
    return [...this.#values.values()].reduce((sum, { value }) => sum + value, 0);
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
  readonly #families: Map<string, Family>;

  /** prefix: put before every name, such as `turboquant:` · labels: put on every line */
  constructor(prefix: string, labels: Labels = {}, families: Map<string, Family> = new Map()) {
    this.#prefix = prefix;
    this.#labels = labels;
    this.#families = families;
  }

  /** The same registry, for series with further labels. */
  labelled(labels: Labels): Registry {
    return new Registry(this.#prefix, { ...this.#labels, ...labels }, this.#families);
  }

  counter(name: string, help: string): Counter {
    const counter = new Counter();
    this.#add(name, "counter", help, (full) => counter.lines(full, this.#labels));
    return counter;
  }

  histogram(name: string, help: string, bounds: readonly number[]): Histogram {
    const histogram = new Histogram(bounds);
    this.#add(name, "histogram", help, (full) => histogram.lines(full, this.#labels));
    return histogram;
  }

  /** A gauge; `read` is called when the text is made, and so are `labels`. */
  gauge(name: string, help: string, read: () => number, labels: () => Labels = () => ({})): void {
    this.#add(name, "gauge", help, (full) => [
      `${full}${labelText({ ...this.#labels, ...labels() })} ${numberText(read())}`,
    ]);
  }

  /** A counter whose value is kept elsewhere; `read` is called when the text is made. */
  reading(name: string, help: string, read: () => number): void {
    this.#add(name, "counter", help, (full) => [`${full}${labelText(this.#labels)} ${numberText(read())}`]);
  }

  #add(name: string, type: Family["type"], help: string, lines: Family["series"][number]): void {
    const family = this.#families.get(name);
    if (family) family.series.push(lines);
    else this.#families.set(name, { type, help, series: [lines] });
  }

  /** All series, whatever labels this one puts on them. */
  text(): string {
    let text = "";
    for (const [name, { type, help, series }] of this.#families) {
      const full = this.#prefix + name;
      text += `# HELP ${full} ${help}\n# TYPE ${full} ${type}\n`;
      for (const lines of series)
        text += lines(full)
          .map((line) => `${line}\n`)
          .join("");
    }
    return text;
  }
}
