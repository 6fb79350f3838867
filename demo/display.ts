/** The parts of a page that all pages of a lobby have: the state, a notice, cells of tables, and the words that tables explain. */

export const byId = <T extends HTMLElement>(id: string) => document.getElementById(id) as T;

/** Shows `text`, with a button that says `goOn`; null shows neither. */
export function notice(text: string | null, goOn: string | null = null): void {
  byId("notice").hidden = text === null;
  byId("notice-text").textContent = text;
  byId("go-on").hidden = goOn === null;
  byId("go-on").textContent = goOn;
  byId("token-form").hidden = true;
}

export type State = "joining" | "ready" | "running" | "ended";

export function status(text: string, state: State): void {
  setText("status", text);
  byId("status").dataset.state = state;
}

/** Says it anew only if it is new: a screen reader reads what changes. */
export function setText(id: string, text: string): void {
  const shown = byId(id);
  if (shown.textContent !== text) shown.textContent = text;
}

export function cell(text: string, tag: "td" | "th" = "td", className = ""): HTMLTableCellElement {
  const node = document.createElement(tag);
  node.textContent = text;
  node.className = className;
  return node;
}

/** The first cell of a rank's row. */
export function rankCell(rank: number, isOwn: boolean): HTMLTableCellElement {
  const number = cell(String(rank), "th");
  number.scope = "row";
  if (isOwn) {
    const you = document.createElement("span");
    you.className = "you";
    you.textContent = "you";
    number.append(you);
  }
  return number;
}

/** Each column that the legend explains says so to the mouse, too. */
export function explainColumns(): void {
  for (const column of document.querySelectorAll<HTMLElement>("th[aria-describedby]")) {
    const about = byId(column.getAttribute("aria-describedby") ?? "");
    column.title = about.textContent?.trim().replace(/\s+/g, " ") ?? "";
  }
}
