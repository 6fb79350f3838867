/** Weights as plain numbers, on their way between files of several formats. */

/** Numbers of a weight or of another tensor, with their dims. */
export interface Numbers {
  tensor: Float32Array;
  shape: readonly number[];
}

/**
 * The tensors of these names and dims.
 * @throws TypeError if one is not there.
 */
export function floatsOf(
  tensors: ReadonlyMap<string, { tensor: unknown; shape: readonly number[] }>,
  wanted: Readonly<Record<string, readonly number[]>>,
): Record<string, Numbers> {
  const entries = Object.entries(wanted).map(([name, dims]) => {
    const { tensor, shape } = tensors.get(name) ?? {};
    if (!(tensor instanceof Float32Array) || String(shape) !== String(dims)) {
      throw new TypeError(`the file has no f32 tensor "${name}" of [${dims}]`);
    }
    return [name, { tensor, shape: dims }] as const;
  });
  return Object.fromEntries(entries);
}
