// Prints its process id, and then more, as fast as it is taken.
const more = () => process.stdout.write(`${"more ".repeat(100)}\n`, () => setImmediate(more));
process.stdout.write(`pid ${process.pid}\n`, more);
