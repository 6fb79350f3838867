/** The join link as a QR code, made here: no request leaves the page. */
import qrcode from "qrcode-generator";

/** Rows of modules, true where dark, without the quiet zone; error correction M, the smallest version that holds `text`. */
export function qrCode(text: string): boolean[][] {
  const code = qrcode(0, "M");
  code.addData(text);
  code.make();
  const size = code.getModuleCount();
  return Array.from({ length: size }, (_, y) => Array.from({ length: size }, (_, x) => code.isDark(y, x)));
}
