import { realWorld } from "../real-world.ts";

/** What modules that are being loaded need; virtual time waits for them. */
const loading = new Set(["FSReqPromise", "FSReqCallback", "CloseReq"]);
/** What this process has anyway: its standard streams, the way to its parent, and the loop of the simulation itself. */
const own = new Set(["Immediate", "PipeWrap", "TTYWrap", "TTYWRAP", "PIPEWRAP", "Timeout"]);
/** How long a module may take to load, in real milliseconds. */
const longestMs = 10_000;

/** Watches for real work that is under way in a process where everything should be virtual. */
export class RealWork {
  #since: number | undefined;

  /** Whether virtual time has to wait. */
  get waiting(): boolean {
    return this.#since !== undefined;
  }

  /** Looks what is under way; names what must not be. */
  look(): string | undefined {
    let busy = false;
    for (const resource of process.getActiveResourcesInfo()) {
      if (own.has(resource)) continue;
      if (!loading.has(resource)) return resource;
      busy = true;
    }
    if (!busy) {
      this.#since = undefined;
      return undefined;
    }
    const now = realWorld.now();
    this.#since ??= now;
    return now - this.#since > longestMs ? "file operation that does not end" : undefined;
  }
}
