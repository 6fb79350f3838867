/** The entry has no types of its own; it exports what the main one does. */
declare module "msgpackr/index-no-eval" {
  export { addExtension, Packr, RESET_BUFFER_MODE, Unpackr } from "msgpackr";
}
