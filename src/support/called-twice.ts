/** What to do where a rank or a port is taken, because the program has called `initProcessGroup` twice. */

export const CALLED_TWICE =
  "a program that has called initProcessGroup before uses that group, or its newGroup, or destroys it first";
