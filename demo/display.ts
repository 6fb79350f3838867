/** The parts of a page that all pages of a lobby have: the state, a notice, cells of tables. */

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
  byId("status").textContent = text;
  byId("status").dataset.state = state;
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
