/** Links and headings of a Markdown page. */
import GithubSlugger from "github-slugger";

/** Code, in which nothing is a link or a heading: fenced, or between backticks. */
const CODE = /^(`{3,})[\s\S]*?^\1$|(`+)[^`\n](?:[^\n]*?[^`\n])?\2(?!`)/gm;
/** The target of `[text](target)`; the text may hold one pair of brackets, as a picture in a link does. */
const LINK = /(\]\()([^()\s]+)(\))/g;

/** `text` with the target of each link replaced. */
export function rewriteLinks(text: string, place: (target: string) => string): string {
  return outsideCode(text, (part) => part.replace(LINK, (_, before, target, after) => before + place(target) + after));
}

/** The targets of all links. */
export function links(text: string): string[] {
  const found: string[] = [];
  rewriteLinks(text, (target) => {
    found.push(target);
    return target;
  });
  return found;
}

/** The anchors of all headings, as GitHub makes them. */
export function anchors(text: string): Set<string> {
  const slugger = new GithubSlugger();
  const lines = text.replace(/^(`{3,})[\s\S]*?^\1$/gm, "").split("\n");
  const headings = lines.filter((line) => /^#{1,6} /.test(line)).map((line) => line.replace(/^#+ /, ""));
  return new Set(headings.map((heading) => slugger.slug(plain(heading))));
}

/** A heading's text without its marks. */
function plain(heading: string): string {
  return heading
    .replace(/\[([^\]]*)\]\([^)]*\)/g, "$1")
    .replace(/`/g, "")
    .trim();
}

function outsideCode(text: string, change: (part: string) => string): string {
  let result = "";
  let end = 0;
  for (const { 0: code, index } of text.matchAll(CODE)) {
    // `[`code`](target)`: the code is the link's text, and its brackets are outside.
    result += change(text.slice(end, index)) + code;
    end = index + code.length;
  }
  return result + change(text.slice(end));
}
