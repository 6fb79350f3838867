/** The messages that come by a bare way, also those that come before anyone asks for them. */
export function inbox<T>(listen: (take: (message: T) => void) => void): () => Promise<T> {
  const came: T[] = [];
  let wake = () => {};
  listen((message) => {
    came.push(message);
    wake();
  });
  return async () => {
    while (came.length === 0) {
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
    return came.shift()!;
  };
}

/** The next messages, `bytes` together, in one array. */
export async function assembled(next: () => Promise<ArrayBuffer>, bytes: number): Promise<Uint8Array> {
  const into = new Uint8Array(bytes);
  for (let at = 0; at < bytes; ) {
    const message = await next();
    into.set(new Uint8Array(message), at);
    at += message.byteLength;
  }
  return into;
}
