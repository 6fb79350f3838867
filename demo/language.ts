/**
 * The language of a browser that names one that is none: WebKitGTK says "C" where the system has no locale. uPlot makes its formats
 * as it is loaded, and would throw. To be imported before it.
 */
try {
  new Intl.NumberFormat(navigator.language);
} catch {
  Object.defineProperty(navigator, "language", { value: "en-US" });
}
