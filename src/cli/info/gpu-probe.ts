/** The questions to a runtime's WebGPU, as source text: it runs in Node, in Deno and in a page. */

/** An adapter. */
export interface GpuAdapter {
  adapter: string;
  features: string[];
  limits: Record<string, number>;
}

const LIMITS = [
  ...["maxBufferSize", "maxStorageBufferBindingSize", "maxStorageBuffersPerShaderStage"],
  "maxComputeInvocationsPerWorkgroup",
];

/** An expression: from a GPU or undefined to a promise of its adapters. WebGPU has no list of them, only ways to ask for one. */
export const GPU_PROBE = `(async (gpu) => {
  const found = [];
  for (const how of [{ powerPreference: "high-performance" }, { powerPreference: "low-power" }, { forceFallbackAdapter: true }]) {
    const one = await gpu?.requestAdapter(how);
    if (!one) continue;
    const { description, device, architecture, vendor } = one.info;
    const adapter = [description || device || architecture, vendor].filter((word) => word).join(", ") || "without a name";
    if (found.some((other) => other.adapter === adapter)) continue;
    const limits = Object.fromEntries(${JSON.stringify(LIMITS)}.map((name) => [name, one.limits[name]]));
    found.push({ adapter, features: [...one.features].sort(), limits });
  }
  return found;
})`;
