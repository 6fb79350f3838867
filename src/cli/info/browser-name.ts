/** "Firefox 141 on Android". */
export function browserName(agent: string): string {
  const known = [
    ["Edge", /Edg(?:A|iOS)?\/(\d+)/],
    ["Firefox", /(?:Firefox|FxiOS)\/(\d+)/],
    ["Chrome", /(?:Chrome|CriOS)\/(\d+)/],
    ["Safari", /Version\/(\d+).*Safari/],
  ] as const;
  const found = known.find(([, pattern]) => pattern.test(agent));
  const version = found?.[1].exec(agent)?.[1];
  const system = ["Android", "iPhone", "iPad", "Windows", "Mac OS", "CrOS", "Linux"].find((name) =>
    agent.includes(name),
  );
  return `${found ? `${found[0]} ${version}` : "A browser"}${system ? ` on ${system.replace("Mac OS", "macOS")}` : ""}`;
}
