/** Streams: records in partitions, consumed in order by groups, whose positions commit with their effects. */
export type { BatchMessage } from "./channels.ts";
export type {
  AppendedRecord,
  AppendOptions,
  BatchContext,
  BatchHandler,
  Compaction,
  ConsumeOptions,
  From,
  GroupInfo,
  Groups,
  ParkedRecord,
  PartitionInfo,
  PartitionPosition,
  ReadStreamOptions,
  RecordInput,
  Retention,
  Stream,
  StreamConsumer,
  StreamOptions,
  StreamRecord,
} from "./contract.ts";
export { createStream } from "./stream.ts";
