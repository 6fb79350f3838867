/** What is built, by what it is for. */
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

/** Builds what is older than its sources. */
export function build(options?: { standIn?: boolean; sanitize?: boolean; force?: boolean }): Outputs;
