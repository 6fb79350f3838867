/** The order of the site's pages: the sidebar has all of them. A test sees that no page of docs/ is missing. */

/** A group of the sidebar; each page is a name of docs/, without `.md`, and its title there. */
export interface Section {
  title: string;
  pages: readonly [page: string, title: string][];
}

export const SECTIONS: readonly Section[] = [
  {
    title: "Begin",
    pages: [
      ["getting-started", "Getting started"],
      ["from-torch", "Coming from torch.distributed"],
      ["troubleshooting", "FAQ and troubleshooting"],
    ],
  },
  {
    title: "Where ranks run",
    pages: [
      ["browsers", "Browsers"],
      ["support", "What each browser has"],
      ["webrtc", "Tabs on different machines"],
      ["deno", "Deno"],
      ["several-hosts", "Several hosts and containers"],
      ["hub", "A hub"],
    ],
  },
  {
    title: "Tensors and calls",
    pages: [
      ["gpu-buffers", "Tensors on the GPU"],
      ["nccl", "NCCL"],
      ["objects", "Objects"],
      ["custom-operations", "Custom operations"],
      ["persistent", "Persistent calls"],
      ["stores", "Stores"],
    ],
  },
  {
    title: "Training",
    pages: [
      ["training", "Data-parallel training"],
      ["comm-hooks", "Comm hooks"],
      ["tfjs", "TensorFlow.js"],
      ["nn", "Collectives with gradients"],
      ["ort", "ONNX Runtime"],
    ],
  },
  {
    title: "Running it",
    pages: [
      ["reliability", "Reliability"],
      ["membership", "Loss, shrink and join"],
      ["security", "Security"],
      ["tracing", "Tracing and debugging"],
      ["performance", "Performance"],
    ],
  },
  {
    title: "Extending it",
    pages: [
      ["backends", "Writing a backend"],
      ["writing-a-store", "Writing a store"],
      ["contributing", "Writing a link, an algorithm, …"],
    ],
  },
  {
    title: "Reference",
    pages: [
      ["options", "Options"],
      ["environment", "Environment variables"],
      ["command", "The command"],
      ["errors", "Errors by code"],
      ["arithmetic", "Arithmetic"],
      ["protocol", "Protocol"],
      ["changelog", "Changelog"],
    ],
  },
  {
    title: "Inside",
    pages: [
      ["architecture", "Architecture"],
      ["sockets", "Sockets"],
      ["regions", "Threads, mapped memory, files"],
      ["gpu", "The GPU executor"],
      ["simulation", "The simulator"],
    ],
  },
  {
    title: "Laboratory notes",
    pages: [
      ["notes/performance", "Performance"],
      ["notes/websocket", "WebSockets"],
      ["notes/threads", "Threads"],
      ["notes/shared-files", "Shared files"],
      ["notes/gpu", "The GPU"],
      ["notes/crossovers", "Crossovers"],
      ["notes/coalesced", "Many short tensors"],
    ],
  },
];
