/** msgpackr, by its entry without `new Function`, which strict pages forbid. The build bundles it into this file. */
export { addExtension, Packr, RESET_BUFFER_MODE, Unpackr } from "msgpackr/index-no-eval";
