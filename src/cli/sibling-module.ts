/** The module `name`, relative to the file whose `import.meta.url` is `from`, in the form that file runs in: source or build. */
export function siblingModule(from: string, name: string): URL {
  return new URL(`${name}${from.endsWith(".ts") ? ".ts" : ".js"}`, from);
}
