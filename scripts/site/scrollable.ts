/** Wide tables and plots scroll in a box of their own, which the keyboard reaches. */
import type { MarkdownRenderer } from "vitepress";

export function scrollable(markdown: MarkdownRenderer): void {
  const { rules } = markdown.renderer;
  rules.table_open = () => '<div class="wide" tabindex="0"><table>\n';
  rules.table_close = () => "</table></div>\n";
  const image = rules.image;
  rules.image = (tokens, i, ...rest) => {
    const shown = image?.(tokens, i, ...rest) ?? "";
    const isPlot = tokens[i]?.attrGet("src")?.endsWith(".svg");
    return isPlot ? `<span class="wide plot" tabindex="0">${shown}</span>` : shown;
  };
}
