/** FakeBackend: every call on tensors succeeds at once and moves nothing, to size a program or to test what surrounds its calls. */
import type { Request } from "../../request.ts";
import { type Backend, unsupported } from "../backend.ts";

/** See the file's head. Values that are not tensors cannot be made up: such calls are an UnsupportedError. `recv` and `recvAnySource` give rank 0, or the rank that they name. */
export class FakeBackend implements Backend {
  readonly name = "fake";

  run(request: Request): Promise<number | undefined> | undefined {
    if ("received" in request) throw unsupported(this.name, request.collective);
    if (request.collective === "recv") return Promise.resolve(request.peer);
    return request.collective === "recvAnySource" ? Promise.resolve(0) : undefined;
  }

  sitOut(): void {}

  async stragglers(): Promise<number[]> {
    return [];
  }

  withdraw(): boolean {
    return false;
  }

  abort(): void {}

  async dispose(): Promise<void> {}
}
