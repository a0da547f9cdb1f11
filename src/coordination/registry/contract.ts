import type { Duration } from "../../core/index.ts";

export type Health = "passing" | "warning" | "critical" | "draining";

/** Where an instance is reached: whatever text its callers understand, or a host and a port. */
export type Address = string | { readonly host: string; readonly port: number };

/** One instance of a service, as those see it who look for it. Frozen. */
export interface Instance {
  readonly service: string;
  readonly id: string;
  readonly address: Address;
  readonly zone: string | undefined;
  readonly version: string | undefined;
  readonly weight: number;
  readonly health: Health;
  readonly metadata: Readonly<Record<string, string>>;
  /** When it registered, by its own wall clock, milliseconds since the epoch; for people. */
  readonly since: number;
}

/** What is said of an instance. */
export interface InstanceOptions {
  /** A text of 1 to 500 characters, or host and port. */
  readonly address: Address;
  /** For callers that prefer what is near. 1 to 200 characters. Default: none. */
  readonly zone?: string;
  /** Of the program. 1 to 200 characters. Default: none. */
  readonly version?: string;
  /** Its share of the calls against the others'; 0 to 1,000,000. What it means is the callers' business. Default 1. */
  readonly weight?: number;
  /** At most 64 pairs, 8 KiB as JSON together. Default: none. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** What it says of itself. Nobody probes it. Default "passing". */
  readonly health?: Health;
}

/** What may change while it is registered. */
export interface InstanceChanges {
  readonly weight?: number;
  /** Replaces all of it. */
  readonly metadata?: Readonly<Record<string, string>>;
  readonly health?: Health;
}

export interface RegisterOptions extends InstanceOptions {
  /** 1 to 200 characters, unique within the service. A registration under an id that is taken replaces the earlier one, which then ends. Default: a new one. */
  readonly id?: string;
  /** How soon after its death others drop it, and how long a pause or a cut it survives. 100 ms to 1 day. Default: the registry's. */
  readonly ttl?: Duration;
  /** Whether to register anew when the lease was lost while the process lives. Default true. */
  readonly reregister?: boolean;
  /** Its abort ends the attempt; a registration that may have been made nevertheless is taken back. */
  readonly signal?: AbortSignal;
}

/** This process as an instance of a service. It stands under a lease of this process and is renewed with it. */
export interface Registration extends AsyncDisposable {
  readonly service: string;
  readonly id: string;
  /** Whether it can be relied on at this moment that others see it. */
  readonly registered: boolean;
  /**
   * Aborted when it is over for good: with a `ConflictError` if another has registered under the same id, an `InvalidStateError` if it was removed by `registry.remove`, a `LeaseLostError` if the lease was
   * lost and it is not to register anew, a `ClosedError` if it was closed.
   */
  readonly signal: AbortSignal;
  /**
   * Changes what others see. While the registration is lost, waits until it is made again.
   * @throws UnavailableError the engine cannot be reached: surely not changed
   */
  update(changes: InstanceChanges, options?: { readonly signal?: AbortSignal }): Promise<void>;
  /** Takes it back. Waits at most a second for an engine that does not answer, and goes on trying in the background while the lease lasts. */
  close(): Promise<void>;
}

export interface ExternalOptions extends InstanceOptions {
  /** 1 to 200 characters, unique within the service. Whoever had it is replaced. */
  readonly id: string;
  /** It vanishes if `heartbeat` is not called for so long: 1 s to 1 day. Default: it stays until it is removed. */
  readonly ttl?: Duration;
  readonly signal?: AbortSignal;
}

/** An instance that some other process looks after: one that cannot register by itself. Outlives this process. */
export interface ExternalRegistration {
  readonly service: string;
  readonly id: string;
  /**
   * It lives: counts its time to live from now. Without one, only finds out whether it still stands.
   * @throws LeaseLostError it has expired or was removed: register it again
   * @throws ConflictError another has registered under the same id
   */
  heartbeat(options?: { readonly signal?: AbortSignal }): Promise<void>;
  /** Changes what others see, and counts as a heartbeat. Errors as those of `heartbeat`. */
  update(changes: InstanceChanges, options?: { readonly signal?: AbortSignal }): Promise<void>;
  /** Removes it, unless another has taken its id. Resolves with whether it stood. */
  remove(options?: { readonly signal?: AbortSignal }): Promise<boolean>;
}

/** What an instance must be; all that is given must hold. */
export interface InstanceFilter {
  readonly zone?: string | readonly string[];
  readonly version?: string | readonly string[];
  readonly health?: Health | readonly Health[];
  /** Pairs that it must have. */
  readonly metadata?: Readonly<Record<string, string>>;
}

export interface Stale {
  /** The last moment at which the view was surely the latest, or when it was opened; this process's wall clock, milliseconds since the epoch. */
  readonly since: number;
  readonly forMs: number;
}

export interface InstanceChange {
  readonly kind: "joined" | "left" | "changed";
  /** As it is now; for `left`, as it was last. */
  readonly instance: Instance;
}

/** The live instances of a service as this process knows them. Looking costs no call, and goes on to work while the engine is away. */
export interface ServiceView extends AsyncDisposable {
  readonly service: string;
  /** In order of their ids. Frozen; the same array as long as nothing changes. Empty before the view is ready. */
  readonly instances: readonly Instance[];
  /** Set when it was not confirmed for `staleAfter`: the engine is away. What is shown is what was known last. */
  readonly stale: Stale | undefined;
  get(id: string): Instance | undefined;
  /**
   * Resolves when the instances have been read for the first time.
   * @throws TimeoutError not within the timeout
   */
  ready(options?: { readonly timeout?: Duration; readonly signal?: AbortSignal }): Promise<void>;
  /**
   * First all that are there as joined, then what has changed since the last array: the latest state always, what was over before it could be shown is skipped.
   * Ends with the view, or by the signal (rejects with its reason).
   */
  changes(options?: { readonly signal?: AbortSignal }): AsyncIterableIterator<readonly InstanceChange[], undefined>;
  close(): Promise<void>;
}

export interface WatchServiceOptions {
  /** Show only these. Default: all, whatever their health. */
  readonly filter?: InstanceFilter;
  /** Its abort closes the view. */
  readonly signal?: AbortSignal;
}

/** Which instances of which services live. */
export interface Registry extends AsyncDisposable {
  /**
   * Registers this process as an instance of the service.
   * @throws UnavailableError the engine cannot be reached: surely not registered
   */
  register(service: string, options: RegisterOptions): Promise<Registration>;
  /** Registers an instance on behalf of another process. */
  registerExternal(service: string, options: ExternalOptions): Promise<ExternalRegistration>;
  /** Removes an instance whoever registered it; its registration ends, and does not come back by itself. Resolves with whether it stood. */
  remove(service: string, id: string, options?: { readonly signal?: AbortSignal }): Promise<boolean>;
  /** The instances that live, read from the store now, in order of their ids. */
  instances(
    service: string,
    filter?: InstanceFilter,
    options?: { readonly signal?: AbortSignal },
  ): Promise<readonly Instance[]>;
  /** The services that have instances, in order; reads all entries of the registry. */
  services(options?: { readonly signal?: AbortSignal }): Promise<readonly string[]>;
  /** A live view. All views of a service share one watch of the engine. */
  watch(service: string, options?: WatchServiceOptions): ServiceView;
  /** Takes back all registrations made here and closes all views. */
  close(): Promise<void>;
}
