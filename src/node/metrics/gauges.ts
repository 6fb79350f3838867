/** Gauges: figures by name as Prometheus reads them, which WorkerServer and a hub both show at `/metrics`. Loaded when they are asked for. */
import { Gauge, Registry } from "prom-client";

/** One figure of many things, which its labels tell apart. */
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
export class Gauges {
  readonly #registry = new Registry();

  /** A function that sets every one of `metrics`, whose keys are fields of what it gets, for one set of labels. */
  of<Field extends string>(
    metrics: Readonly<Record<Field, Metric>>,
    labelNames: readonly string[] = [],
  ): (labels: Readonly<Record<string, string>>, values: Readonly<Partial<Record<Field, number>>>) => void {
    const gauges = Object.entries<Metric>(metrics).map(([field, { name, help }]) => {
      const gauge = new Gauge({ name, help, labelNames: [...labelNames], registers: [this.#registry] });
      return { field: field as Field, gauge };
    });
    return (labels, values) => {
      for (const { field, gauge } of gauges) gauge.set({ ...labels }, values[field] ?? 0);
    };
  }

  async page(): Promise<MetricsPage> {
    return { status: 200, type: this.#registry.contentType, body: await this.#registry.metrics() };
  }
}
