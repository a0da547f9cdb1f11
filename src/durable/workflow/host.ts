import type { Engine, Transaction, Version } from "../../engine/index.ts";
import type { LogMessage } from "./channels.ts";
import type { Workflow } from "./contract.ts";
import type { Gate } from "./gate.ts";
import type { Completion, Message, RunRecord } from "./layout.ts";

/** What a run needs of the owner of its shard. */
export interface Host {
  /** The engine whose transactions bodies get. */
  readonly user: Engine;
  /** The scope of the workflows. */
  readonly engine: Engine;
  readonly shard: number;
  shardOf(id: string): number;
  /** Those that this program knows. */
  readonly workflows: ReadonlyMap<string, Workflow>;
  readonly gate: Gate;
  readonly parkAfter: number;
  readonly retention: number;
  /** Events after which a run is cancelled. */
  readonly maxHistory: number;
  /** The engine's clock. */
  now(): Promise<number>;
  /** Puts the proof of ownership into a transaction. */
  guard(tx: Transaction): void;
  /** The run waits in the store until then. */
  parked(due: number | undefined): void;
  /** Something went wrong; it is tried again. */
  trouble(error: unknown): void;
  /** Tells whoever listens. */
  log(told: Omit<LogMessage, "name">): void;
  /** All messages that had come by now are about to be read. */
  looked(id: string): void;
}

/** A run as the store has it. */
export interface Loaded {
  readonly id: string;
  readonly record: RunRecord;
  readonly version: Version;
  readonly history: readonly Completion[];
  readonly messages: ReadonlyMap<string, Message>;
  /** It has only just been started. */
  readonly fresh: boolean;
}

/** Why a run has left memory: it has ended; it waits in the store; it goes on anew; or the store is to be asked how it stands. */
export type Departure = "ended" | "parked" | "renewed" | "reload";
