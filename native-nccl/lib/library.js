/** The libraries as a whole: their versions, errors and devices. */
import { native } from "./addon.js";

export const UNIQUE_ID_BYTES = 128;

/** Once both libraries are open. */
let opened = null;
let opening = null;

export function version() {
  return native().version();
}

export function versionTuple() {
  const code = version();
  return [Math.floor(code / 10_000), Math.floor((code % 10_000) / 100), code % 100];
}

export function versionSuffix() {
  return "";
}

export function libraryPath() {
  return native().libraryPath();
}

export function errorString(code) {
  return native().errorString(code);
}

/** Calls that wait for it go on in their order: it is opened once. */
export function load() {
  opening ??= open();
  return opening;
}

async function open() {
  try {
    opened = await native().load();
    return opened;
  } catch (error) {
    opening = null;
    throw error;
  }
}

/** The libraries' facts, for what can only be there when they are open. */
export function facts() {
  return opened;
}

export async function getUniqueId() {
  return native().getUniqueId();
}

export async function devices() {
  return (await load()).devices;
}

export async function deviceCount() {
  return (await load()).devices.length;
}

export function alive() {
  return native().alive();
}
