/** Figures as Prometheus reads them, which WorkerServer and a hub both show at `/metrics`. Loaded when they are asked for. */
import { Counter, Gauge, Registry } from "prom-client";

/** One figure of many things, which its labels tell apart. One whose name ends in "_total" only grows. */
export interface Metric {
  readonly name: string;
  readonly help: string;
}

/** A page of figures. */
export interface MetricsPage {
  readonly status: 200;
  readonly type: string;
  readonly body: string;
}

/** Makes one page `/metrics`. */
export class Figures {
  readonly #registry = new Registry();

  /** A function that sets every one of `metrics`, whose keys are fields of what it gets, once for each set of labels. */
  of<Field extends string>(
    metrics: Readonly<Record<Field, Metric>>,
    labelNames: readonly string[] = [],
  ): (labels: Readonly<Record<string, string>>, values: Readonly<Partial<Record<Field, number>>>) => void {
    const setters = Object.entries<Metric>(metrics).map(([field, { name, help }]) => {
      const options = { name, help, labelNames: [...labelNames], registers: [this.#registry] };
      const figure = name.endsWith("_total") ? new Counter(options) : new Gauge(options);
      return { field: field as Field, figure };
    });
    return (labels, values) => {
      // The page is new: a counter begins at 0, as a gauge does.
      for (const { field, figure } of setters) figure.inc({ ...labels }, values[field] ?? 0);
    };
  }

  async page(): Promise<MetricsPage> {
    return { status: 200, type: this.#registry.contentType, body: await this.#registry.metrics() };
  }
}
