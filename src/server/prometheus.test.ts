import { expect, it } from "vitest";
import { Registry } from "./prometheus.ts";

it("writes what Prometheus reads: help and type once, buckets that add up, labels escaped", () => {
  const registry = new Registry("x:", { model_name: 'a "b"\\' });
  const counter = registry.counter("requests_total", "Requests.");
  const histogram = registry.histogram("seconds", "Time.", [0.1, 1]);
  registry.gauge("bytes", "Bytes.", () => Number.POSITIVE_INFINITY);
  counter.add(2, { status: "200" });
  counter.add(1, { status: "404" });
  counter.add(1, { status: "200" });
  for (const value of [0.05, 0.1, 0.5, 7]) histogram.observe(value);
  const label = 'model_name="a \\"b\\"\\\\"';
  expect(registry.text()).toBe(`# HELP x:requests_total Requests.
# TYPE x:requests_total counter
x:requests_total{${label},status="200"} 3
x:requests_total{${label},status="404"} 1
# HELP x:seconds Time.
# TYPE x:seconds histogram
x:seconds_bucket{${label},le="0.1"} 2
x:seconds_bucket{${label},le="1"} 3
x:seconds_bucket{${label},le="+Inf"} 4
x:seconds_sum{${label}} 7.65
x:seconds_count{${label}} 4
# HELP x:bytes Bytes.
# TYPE x:bytes gauge
x:bytes{${label}} +Inf
`);
});
