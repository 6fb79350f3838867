/** FakeBackend: every call succeeds at once and moves nothing, to size a program or to test what surrounds its calls. */
import type { Request } from "../../request.ts";
import type { Backend } from "../backend.ts";

/** See the file's head. `recv` and `recvAnySource` give rank 0, or the rank that they name. */
export class FakeBackend implements Backend {
  readonly name = "fake";

  async run(request: Request): Promise<number | undefined> {
    if (request.collective === "recv") return request.peer;
    return request.collective === "recvAnySource" ? 0 : undefined;
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
