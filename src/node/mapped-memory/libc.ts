/** The C library of Linux, as far as memory that processes have in common needs it. */
import { UnsupportedError } from "../../errors.ts";
import type { CFunction, Ffi } from "./ffi.ts";

/** The number of the system call for which the C library has no function of its own, by architecture. */
const FUTEX: Readonly<Record<string, bigint>> = { x64: 202n, arm64: 98n };
const FUTEX_WAIT = 0n;
const FUTEX_WAKE = 1n;
const ALL_SLEEPERS = 0x7fff_ffffn;

const MFD_CLOEXEC = 1n;
const MFD_ALLOW_SEALING = 2n;
const F_ADD_SEALS = 1033n;
const F_GET_SEALS = 1034n;
/** No further seal, no smaller file, no larger one. */
const SEALS = 0b111n;
const O_RDWR = 2n;
const O_NONBLOCK = 0o4000n;
const O_CLOEXEC = 0o2000000n;
const AT_EMPTY_PATH = 0x1000n;
const STATX_UID_AND_SIZE = 0x208n;
const PROT_READ_WRITE = 3n;
const MAP_SHARED_FIXED = 0x11n;
/** MAP_PRIVATE, MAP_FIXED, MAP_ANONYMOUS and MAP_NORESERVE. */
const MAP_ZEROS = 0x4032n;
const EINTR = 4;
const RLIMIT_FSIZE = 1n;

const ARITIES = {
  ...{ memfd_create: 2, ftruncate: 2, fcntl: 3, open: 2, close: 1, statx: 5, geteuid: 0, getrlimit: 2 },
  ...{ posix_fallocate: 3, pread: 4, pwrite: 4, mmap: 6, syscall: 7 },
} as const;

/** Bytes for text and structures that C reads or fills. */
const ROOM_BYTES = 4096;

/** A file in memory, as the C library tells of it. */
export interface Sealed {
  readonly uid: number;
  readonly byteLength: number;
  /** Most bytes of one of its pages. */
  readonly blockBytes: number;
  readonly isSealed: boolean;
}

/** See the file's head. A function that fails throws an Error with its name. */
export class Libc {
  readonly #ffi: Ffi;
  readonly #c: Readonly<Record<keyof typeof ARITIES, CFunction>>;
  readonly #futex: bigint;
  readonly #room = new Uint8Array(new SharedArrayBuffer(ROOM_BYTES));
  readonly #view = new DataView(this.#room.buffer);
  readonly #roomAt: bigint;

  /** @throws UnsupportedError on other systems than Linux on x64 or arm64. */
  constructor(ffi: Ffi) {
    const futex = process.platform === "linux" ? FUTEX[process.arch] : undefined;
    if (futex === undefined) throw new UnsupportedError(`memory is mapped on Linux, on x64 and arm64, alone`);
    this.#ffi = ffi;
    this.#futex = futex;
    this.#c = ffi.functions(ARITIES);
    this.#roomAt = ffi.addressOf(this.#room);
  }

  get uid(): number {
    return Number(BigInt.asUintN(32, this.#c.geteuid()));
  }

  addressOf(bytes: Uint8Array): bigint {
    return this.#ffi.addressOf(bytes);
  }

  /** A file in memory that has no name, `byteLength` zeros long for ever. Its descriptor. */
  createSealed(byteLength: number): number {
    // A file longer than this limit would end the process.
    this.#check("getrlimit", this.#c.getrlimit(RLIMIT_FSIZE, this.#roomAt));
    const limit = this.#view.getBigUint64(0, true);
    if (limit < BigInt(byteLength))
      throw new Error(`ulimit -f allows files of ${limit} bytes, and ${byteLength} are needed`);
    const fd = this.#check("memfd_create", this.#c.memfd_create(this.#text("webccl"), MFD_CLOEXEC | MFD_ALLOW_SEALING));
    try {
      this.#check("ftruncate", this.#c.ftruncate(BigInt(fd), BigInt(byteLength)));
      this.#check("fcntl(F_ADD_SEALS)", this.#c.fcntl(BigInt(fd), F_ADD_SEALS, SEALS));
      return fd;
    } catch (error) {
      this.close(fd);
      throw error;
    }
  }

  open(path: string): number {
    return this.#check(`open(${path})`, this.#c.open(this.#text(path), O_RDWR | O_NONBLOCK | O_CLOEXEC));
  }

  close(fd: number): void {
    this.#c.close(BigInt(fd));
  }

  statOf(fd: number): Sealed {
    const seals = BigInt.asIntN(32, this.#c.fcntl(BigInt(fd), F_GET_SEALS, 0n));
    const nothing = this.#text("");
    const at = this.#roomAt + 8n;
    this.#check("statx", this.#c.statx(BigInt(fd), nothing, AT_EMPTY_PATH, STATX_UID_AND_SIZE, at));
    return {
      // struct statx, which is the same on every architecture.
      blockBytes: this.#view.getUint32(8 + 4, true),
      uid: this.#view.getUint32(8 + 20, true),
      byteLength: Number(this.#view.getBigUint64(8 + 40, true)),
      isSealed: seals >= 0n && (seals & SEALS) === SEALS,
    };
  }

  /** Writes text at the file's start. */
  writeStart(fd: number, text: string): void {
    this.#check("pwrite", this.#c.pwrite(BigInt(fd), this.#text(text), BigInt(text.length), 0n));
  }

  /** The first `byteLength` bytes of the file, as text. */
  readStart(fd: number, byteLength: number): string {
    const count = this.#check("pread", this.#c.pread(BigInt(fd), this.#roomAt, BigInt(byteLength), 0n));
    return String.fromCharCode(...this.#room.subarray(0, count));
  }

  /** Sets memory aside. */
  reserve(fd: number, position: number, byteLength: number): void {
    let code: number;
    do code = this.#int(this.#c.posix_fallocate(BigInt(fd), BigInt(position), BigInt(byteLength)));
    while (code === EINTR);
    if (code !== 0) throw new Error(`no memory for ${byteLength} bytes more: posix_fallocate gave ${code}`);
  }

  /** Puts the file in the place of the memory at `address`. */
  map(fd: number, address: bigint, byteLength: number): void {
    this.#map(address, byteLength, MAP_SHARED_FIXED, fd);
  }

  /** Puts zeros there. */
  unmap(address: bigint, byteLength: number): void {
    this.#map(address, byteLength, MAP_ZEROS, -1);
  }

  /** Sleeps until the word at `address` is woken, is not `seen`, or `ms` have passed. */
  wait(address: bigint, seen: number, ms: number): void {
    this.#view.setBigInt64(0, 0n, true);
    this.#view.setBigInt64(8, BigInt(Math.ceil(ms * 1e6)), true);
    this.#c.syscall(this.#futex, address, FUTEX_WAIT, BigInt(seen), this.#roomAt, 0n, 0n);
  }

  wake(address: bigint): void {
    this.#c.syscall(this.#futex, address, FUTEX_WAKE, ALL_SLEEPERS, 0n, 0n, 0n);
  }

  #map(address: bigint, byteLength: number, flags: bigint, fd: number): void {
    if (byteLength === 0) return;
    const mapped = this.#c.mmap(address, BigInt(byteLength), PROT_READ_WRITE, flags, BigInt(fd), 0n);
    if (mapped !== address) throw new Error(`mmap of ${byteLength} bytes failed`);
  }

  /** The address of text for C, until the next. */
  #text(text: string): bigint {
    const { written } = new TextEncoder().encodeInto(text, this.#room.subarray(0, -1));
    this.#room[written] = 0;
    return this.#roomAt;
  }

  /** The upper half of what a function that returns an int leaves is anything. */
  #int(returned: bigint): number {
    return Number(BigInt.asIntN(32, returned));
  }

  #check(name: string, returned: bigint): number {
    const int = this.#int(returned);
    if (int < 0) throw new Error(`${name} failed`);
    return int;
  }
}
