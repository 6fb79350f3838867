/** The libraries as a whole: their versions, errors and devices. */
import { native } from "./addon.js";

export const UNIQUE_ID_BYTES = 128;

export function version() {
  const code = native().version();
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

export async function load() {
  return native().load();
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
