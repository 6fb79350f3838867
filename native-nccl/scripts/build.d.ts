/** The built files, by their purpose. */
export interface Outputs {
  addon: string;
  /** The folder with both stand-ins. */
  standIn: string;
  cuda: string;
  nccl: string;
  /** A stand-in of libnccl that lacks a symbol. */
  incomplete: string;
}

export function outputs(options?: { sanitize?: boolean }): Outputs;

/** Builds the addon for x64 and arm64 into `folder`, by default prebuilt/, and returns the paths. */
export function buildPrebuilt(folder?: string): string[];

/** Builds the files that are older than their sources. */
export function build(options?: { standIn?: boolean; sanitize?: boolean; force?: boolean }): Outputs;
