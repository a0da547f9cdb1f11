/** An event store: streams with expected versions, one order of all events, states by decide and evolve, projections that happen once. */
export type {
  AppendedMessage,
  ConflictMessage,
  ProjectedMessage,
  ProjectionFailedMessage,
  SnapshotMessage,
  SwappedMessage,
  TroubleMessage,
} from "./channels.ts";
export type {
  AllOptions,
  Appended,
  AppendOptions,
  DomainEvent,
  EventStore,
  EventStoreOptions,
  Executed,
  ExecuteOptions,
  ExpectedVersion,
  Metadata,
  PositionedEvent,
  Projection,
  ProjectionContext,
  ProjectionHandler,
  ProjectionOptions,
  ProjectionStatus,
  ProjectionView,
  ReadStreamOptions,
  RecordedEvent,
  SnapshotOptions,
} from "./contract.ts";
export { createEventStore } from "./event-store.ts";
