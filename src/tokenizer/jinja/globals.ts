/** @file Functions that every template knows: Jinja's, and those of Transformers. */
import { asPairs } from "./pairs.ts";
import { type Definition, define, type Engine } from "./signature.ts";
import { fail, TemplateError } from "./template-error.ts";
import { type Arguments, asIndex, Computed, isString, Namespace, Range, type Value } from "./values.ts";

const range = define("start stop=none step=1", ([first, last, by], { budget }) => {
  const [start, stop] =
    last === null ? [0, asIndex(first, "range")] : [asIndex(first, "range"), asIndex(last, "range")];
  const step = asIndex(by, "range");
  if (step === 0) fail("range() arg 3 must not be zero");
  const numbers = new Range(start, stop, step);
  budget.range(numbers.length);
  return numbers;
});

const dict = define("...", ([rest], engine) => members(rest as Arguments, engine));

function members({ positional, named }: Arguments, { budget }: Engine): Map<Value, Value> {
  if (positional.length > 1) fail(`dict expected at most 1 argument, got ${positional.length}`);
  const result = new Map<Value, Value>(positional.length === 1 ? asPairs(positional[0], budget) : []);
  for (const [name, value] of named) result.set(name, value);
  return result;
}

const namespace = define("...", ([rest], engine) => {
  const entries = [...members(rest as Arguments, engine)].map(([name, value]) => [String(name), value] as const);
  return new Namespace(entries);
});

/** Goes through its arguments again and again. */
const cycler = define("...", ([rest]) => {
  const items = (rest as Arguments).positional;
  if (items.length === 0) fail("at least one item has to be provided");
  let at = 0;
  const method = (run: () => Value): Computed => new Computed("method", () => undefined, run);
  return new Computed("Cycler", (name) => {
    if (name === "current") return items[at];
    if (name === "reset") {
      return method(() => {
        at = 0;
        return null;
      });
    }
    if (name !== "next") return undefined;
    return method(() => {
      const item = items[at];
      at = (at + 1) % items.length;
      return item;
    });
  });
});

/** Empty the first time, then its separator. */
const joiner = define("sep=?", ([separator = ", "]) => {
  let isUsed = false;
  return new Computed(
    "Joiner",
    () => undefined,
    () => {
      if (isUsed) return separator;
      isUsed = true;
      return "";
    },
  );
});

const raise = define("message=''", ([message]): never => {
  throw new TemplateError("raised", isString(message) ? message : String(message));
});

const DAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS = [
  "January",
  "February",
  "March",
  "April",
  "May",
  "June",
  "July",
  "August",
  "September",
  "October",
  "November",
  "December",
];

/** strftime of the C locale, in local time. */
function formatTime(format: string, now: Date): string {
  const two = (number: number): string => String(number).padStart(2, "0");
  const hour12 = now.getHours() % 12 || 12;
  const dayOfYear = Math.round(
    (Date.UTC(now.getFullYear(), now.getMonth(), now.getDate()) - Date.UTC(now.getFullYear(), 0, 0)) / 86_400_000,
  );
  const parts: { readonly [directive: string]: () => string } = {
    "%": () => "%",
    A: () => DAYS[now.getDay()]!,
    B: () => MONTHS[now.getMonth()]!,
    D: () => formatTime("%m/%d/%y", now),
    F: () => formatTime("%Y-%m-%d", now),
    H: () => two(now.getHours()),
    I: () => two(hour12),
    M: () => two(now.getMinutes()),
    R: () => formatTime("%H:%M", now),
    S: () => two(now.getSeconds()),
    T: () => formatTime("%H:%M:%S", now),
    X: () => formatTime("%H:%M:%S", now),
    Y: () => String(now.getFullYear()),
    Z: () => "",
    a: () => DAYS[now.getDay()]!.slice(0, 3),
    b: () => MONTHS[now.getMonth()]!.slice(0, 3),
    c: () => formatTime("%a %b %e %H:%M:%S %Y", now),
    d: () => two(now.getDate()),
    e: () => String(now.getDate()).padStart(2, " "),
    f: () => String(now.getMilliseconds() * 1000).padStart(6, "0"),
    h: () => MONTHS[now.getMonth()]!.slice(0, 3),
    j: () => String(dayOfYear).padStart(3, "0"),
    m: () => two(now.getMonth() + 1),
    n: () => "\n",
    p: () => (now.getHours() < 12 ? "AM" : "PM"),
    s: () => String(Math.floor(now.getTime() / 1000)),
    t: () => "\t",
    u: () => String(now.getDay() || 7),
    w: () => String(now.getDay()),
    x: () => formatTime("%m/%d/%y", now),
    y: () => two(now.getFullYear() % 100),
    z: () => "",
  };
  return format.replace(/%(-?)([\s\S])/g, (whole, sign: string, directive: string) => {
    const part = Object.hasOwn(parts, directive)
      ? parts[directive]!()
      : fail(`strftime_now: the directive ${whole} is not supported`);
    return sign ? part.replace(/^[0 ]+(?=.)/, "") : part;
  });
}

const strftime = define("format", ([format]) =>
  isString(format) ? formatTime(format, new Date()) : fail("strftime_now: expected a text"),
);

export const GLOBALS: Readonly<{ [name: string]: Definition }> = {
  cycler,
  dict,
  joiner,
  lipsum: define("...", (): never => {
    throw new TemplateError("missing", "the function lipsum is not supported");
  }),
  namespace,
  raise_exception: raise,
  range,
  strftime_now: strftime,
};

/** The variable of a for loop. */
export interface LoopState {
  index0: number;
  changed: readonly Value[] | null;
}

export function loopRecord(
  items: readonly Value[],
  state: LoopState,
  depth0: number,
  missing: (what: string) => Value,
  recurse: ((items: Value) => Value) | undefined,
  same: (a: readonly Value[], b: readonly Value[]) => boolean,
): Computed {
  const at = () => state.index0;
  const method = (run: (args: Arguments) => Value): Computed => new Computed("method", () => undefined, run);
  const attributes: { readonly [name: string]: () => Value } = {
    index: () => at() + 1,
    index0: at,
    revindex: () => items.length - at(),
    revindex0: () => items.length - at() - 1,
    first: () => at() === 0,
    last: () => at() === items.length - 1,
    length: () => items.length,
    depth: () => depth0 + 1,
    depth0: () => depth0,
    previtem: () => (at() > 0 ? items[at() - 1] : missing("there is no previous item")),
    nextitem: () => (at() + 1 < items.length ? items[at() + 1] : missing("there is no next item")),
    cycle: () =>
      method(({ positional }) =>
        positional.length > 0 ? positional[at() % positional.length] : fail("no items for cycling given"),
      ),
    changed: () =>
      method(({ positional }) => {
        if (state.changed && same(state.changed, positional)) return false;
        state.changed = positional;
        return true;
      }),
  };
  const call = recurse && (({ positional }: Arguments) => recurse(positional[0]));
  return new Computed("loop", (name) => (Object.hasOwn(attributes, name) ? attributes[name]!() : undefined), call);
}
