// TypeScript with a type to strip.
const rank: number = Number(process.env.RANK);
process.stdout.write(`typed ${rank satisfies number}`);
