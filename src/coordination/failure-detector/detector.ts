import type { Channel } from "node:diagnostics_channel";
import { createCloser, invalidArgument, LimitError, linkSignals, type Runtime, type Timer } from "../../core/index.ts";
import { restored, suspected } from "./channels.ts";
import type { FailureDetector, Transition } from "./contract.ts";

/** What is remembered of one peer, and how its silence is judged. */
export interface Judge {
  /** It was heard `interval` milliseconds after it was heard before; `late`: it was suspected by then. */
  heard(interval: number, late: boolean): void;
  suspicion(silence: number): number;
  /** Milliseconds of silence from which on it is suspected. */
  readonly allowed: number;
}

interface Peer {
  readonly judge: Judge;
  heardAt: number;
  /** Whether watchers were told so. */
  suspected: boolean;
}

/** The peers, the clock and the watchers; what silence means is the judges' matter. */
export class Detector implements FailureDetector {
  readonly #runtime: Runtime;
  readonly #maxPeers: number;
  readonly #createJudge: () => Judge;
  readonly #peers = new Map<string, Peer>();
  readonly #watchers = new Set<Watcher>();
  readonly #closing = new AbortController();
  #timer: { readonly at: number; readonly timer: Timer } | undefined;
  readonly #closer = createCloser(async () => {
    this.#stopTimer();
    this.#peers.clear();
    this.#closing.abort();
  }, "the failure detector");

  constructor(options: { readonly runtime: Runtime; readonly maxPeers: number; readonly createJudge: () => Judge }) {
    this.#runtime = options.runtime;
    this.#maxPeers = options.maxPeers;
    this.#createJudge = options.createJudge;
  }

  heartbeat(name: string): void {
    this.#closer.assertOpen();
    checkName(name);
    const now = this.#now();
    const peer = this.#peers.get(name);
    if (peer) this.#heard(name, peer, now);
    else this.#meet(name, now);
  }

  suspicion(name: string): number {
    this.#closer.assertOpen();
    checkName(name);
    const peer = this.#peers.get(name);
    return peer ? peer.judge.suspicion(this.#now() - peer.heardAt) : Number.POSITIVE_INFINITY;
  }

  isAvailable(name: string): boolean {
    return this.remaining(name) > 0;
  }

  remaining(name: string): number {
    this.#closer.assertOpen();
    checkName(name);
    const peer = this.#peers.get(name);
    if (!peer) return 0;
    const now = this.#now();
    const remaining = Math.max(0, peer.heardAt + peer.judge.allowed - now);
    if (remaining === 0) this.#suspect(name, peer, now);
    return remaining;
  }

  forget(name: string): boolean {
    this.#closer.assertOpen();
    checkName(name);
    for (const watcher of this.#watchers) watcher.forget(name);
    return this.#peers.delete(name);
  }

  peers(): readonly string[] {
    this.#closer.assertOpen();
    return [...this.#peers.keys()];
  }

  async *watch(options: { readonly signal?: AbortSignal } = {}): AsyncGenerator<Transition, undefined> {
    this.#closer.assertOpen();
    options.signal?.throwIfAborted();
    const watcher = new Watcher();
    this.#watchers.add(watcher);
    try {
      this.#judgeAll();
      for (const [name, peer] of this.#peers) {
        if (peer.suspected) watcher.tell({ peer: name, status: "suspected", silence: this.#now() - peer.heardAt });
      }
      for (;;) {
        if (this.#closing.signal.aborted) return undefined;
        options.signal?.throwIfAborted();
        const transition = watcher.take();
        if (transition) yield transition;
        else await watcher.news(options.signal, this.#closing.signal);
      }
    } finally {
      this.#watchers.delete(watcher);
      if (this.#watchers.size === 0) this.#stopTimer();
    }
  }

  close(): Promise<void> {
    return this.#closer.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #now(): number {
    return this.#runtime.clock.monotonic();
  }

  #meet(name: string, now: number): void {
    if (this.#peers.size >= this.#maxPeers) {
      throw new LimitError(
        `maxPeers: ${this.#maxPeers} peers are watched over already; forget those that are gone, or allow more`,
        { details: { name: "maxPeers", limit: this.#maxPeers } },
      );
    }
    const peer = { judge: this.#createJudge(), heardAt: now, suspected: false };
    this.#peers.set(name, peer);
    this.#expect(peer);
  }

  #heard(name: string, peer: Peer, now: number): void {
    const silence = now - peer.heardAt;
    const late = silence >= peer.judge.allowed;
    if (late) this.#suspect(name, peer, now);
    peer.judge.heard(silence, late);
    peer.heardAt = now;
    if (peer.suspected) {
      peer.suspected = false;
      this.#tell(restored, { peer: name, status: "restored", silence });
    }
    this.#expect(peer);
  }

  #suspect(name: string, peer: Peer, now: number): void {
    if (peer.suspected) return;
    peer.suspected = true;
    this.#tell(suspected, { peer: name, status: "suspected", silence: now - peer.heardAt });
  }

  #tell(channel: Channel, transition: Transition): void {
    if (channel.hasSubscribers) channel.publish(transition);
    for (const watcher of this.#watchers) watcher.tell(transition);
  }

  /** One timer, for the peer whose time is up first. It is not moved when others are heard: when it runs, it looks who is due then. */
  #expect({ heardAt, judge, suspected: already }: Peer): void {
    if (this.#watchers.size === 0 || already) return;
    const at = heardAt + judge.allowed;
    if (this.#timer && this.#timer.at <= at) return;
    this.#stopTimer();
    // After an immediate: heartbeats that arrived while this process was held up are heard before anybody is judged.
    const due = (): void => {
      const timer = this.#runtime.timers.immediate(() => this.#judgeAll());
      this.#timer = { at, timer };
    };
    const timer = this.#runtime.timers.after(Math.max(0, at - this.#now()), due, { ref: false });
    this.#timer = { at, timer };
  }

  #judgeAll(): void {
    this.#stopTimer();
    const now = this.#now();
    let next: Peer | undefined;
    for (const [name, peer] of this.#peers) {
      const due = peer.heardAt + peer.judge.allowed;
      if (due <= now) this.#suspect(name, peer, now);
      else if (!next || due < next.heardAt + next.judge.allowed) next = peer;
    }
    if (next) this.#expect(next);
  }

  #stopTimer(): void {
    this.#timer?.timer.cancel();
    this.#timer = undefined;
  }
}

/**
 * What one watcher has been shown and has not been shown yet: at most one transition for each peer.
 *
 * Invariant: what waits for a peer says something else than what it was shown of it last.
 */
class Watcher {
  readonly #waiting = new Map<string, Transition>();
  readonly #shownSuspected = new Set<string>();
  #wake: (() => void) | undefined;

  tell(transition: Transition): void {
    const { peer, status } = transition;
    this.#waiting.delete(peer);
    if (this.#shownSuspected.has(peer) === (status === "suspected")) return;
    this.#waiting.set(peer, transition);
    this.#wake?.();
  }

  take(): Transition | undefined {
    for (const [peer, transition] of this.#waiting) {
      this.#waiting.delete(peer);
      if (transition.status === "suspected") this.#shownSuspected.add(peer);
      else this.#shownSuspected.delete(peer);
      return transition;
    }
    return undefined;
  }

  forget(peer: string): void {
    this.#waiting.delete(peer);
    this.#shownSuspected.delete(peer);
  }

  /** Resolves when there is something to take, or a signal has aborted. */
  async news(...signals: readonly (AbortSignal | undefined)[]): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    using ended = linkSignals(...signals);
    if (ended.signal.aborted) return;
    ended.signal.addEventListener("abort", () => resolve(), { once: true });
    this.#wake = resolve;
    await promise;
    this.#wake = undefined;
  }
}

function checkName(peer: unknown): void {
  if (typeof peer !== "string" || peer.length === 0 || peer.length > 500)
    throw invalidArgument("peer", peer, "a text of 1 to 500 characters");
}
