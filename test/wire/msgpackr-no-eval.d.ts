/** The part of msgpackr's entry without `new Function` that control.ts uses; the package has no types for it. */
declare module "msgpackr/index-no-eval" {
  export interface Options {
    useRecords?: boolean;
    mapsAsObjects?: boolean;
    moreTypes?: boolean;
    encodeUndefinedAsNil?: boolean;
    copyBuffers?: boolean;
    int64AsType?: "number";
    variableMapSize?: boolean;
  }
  export class Packr {
    constructor(options?: Options);
    pack(value: unknown): Uint8Array;
  }
  export class Unpackr {
    constructor(options?: Options);
    unpack(bytes: Uint8Array): unknown;
  }
}
