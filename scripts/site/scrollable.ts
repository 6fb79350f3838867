/** Wide tables scroll in a box of their own, which the keyboard reaches. */
import type { MarkdownRenderer } from "vitepress";

export function scrollable(markdown: MarkdownRenderer): void {
  markdown.renderer.rules.table_open = () => '<div class="wide" tabindex="0"><table>\n';
  markdown.renderer.rules.table_close = () => "</table></div>\n";
}
