/** What a training tells while it runs, and the numbers that its command line gives. */

/** Shows how far `steps` steps are: a bar on a terminal, else a line now and then. */
export function progressOf(steps: number): (step: number, loss: number) => void {
  const { isTTY } = process.stdout;
  const every = Math.ceil(steps / 10);
  return (step, loss) => {
    const text = `step ${step} of ${steps}, loss ${loss.toFixed(3)}`;
    if (isTTY) {
      const done = Math.round((30 * step) / steps);
      process.stdout.write(`\r[${"#".repeat(done)}${".".repeat(30 - done)}] ${text} ${step === steps ? "\n" : ""}`);
    } else if (step % every === 0 || step === steps) console.log(text);
  };
}

/**
 * The number that an option of the command line gives, or `fallback`.
 * @throws Error if it is none from 1 on.
 */
export function countOf(name: string, given: string | undefined, fallback: number): number {
  const value = Number(given ?? fallback);
  if (!(value >= 1)) throw new Error(`--${name} must be a number from 1 on, got ${given}`);
  return value;
}
