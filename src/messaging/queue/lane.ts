import type { Engine, LogRecord, Topic } from "../../engine/index.ts";
import { type LaneRecord, laneTopic, type StoredJob } from "./layout.ts";

/** Records of a topic of the log that are handed out as jobs: a queue's own, or events that others take for themselves as well. */
export interface Lane {
  /** Where the topic is. */
  readonly engine: Engine;
  readonly topic: Topic;
  /** Whether nobody else needs a record when this consumer has done with it. */
  readonly own: boolean;
  /** Whether the record is for this consumer; if not, it is passed over. */
  wants(record: LogRecord): boolean;
  /** The job that a record is. One with an ordering key joins the others of its key instead of being handed out at once. */
  jobOf(record: LogRecord): LaneJob;
  /** Forgets what nobody needs, where that is not decided by this consumer alone. */
  forget?(): Promise<void>;
  /** The offset of the record with this id, where ids tell; else the record is searched for by the time in its id. */
  offsetOf?(id: string): number | undefined;
}

export interface LaneJob {
  readonly id: string;
  readonly job: StoredJob;
}

/** The lane of a queue. */
export function ownLane(engine: Engine): Lane {
  return {
    engine,
    topic: laneTopic,
    own: true,
    wants: () => true,
    jobOf: ({ value, time }) => {
      const record = value as LaneRecord;
      return { id: record[0], job: fromRecord(record, time) };
    },
  };
}

export function fromRecord([, data, headers]: LaneRecord, added: number): StoredJob {
  return { data, added, failures: 0, ...(headers && { headers }) };
}
