import { CorruptionError } from "../../core/index.ts";

/** How every answer to a flush that may write begins. */
export interface OutcomeHeader {
  /** The server's clock at the flush, microseconds since the epoch. */
  readonly now: number;
  /** The revision before the flush. */
  readonly base: number;
  /** Whether anybody listens for changes. */
  readonly listened: boolean;
}

/** Numbers in front of the rest. */
export const headerLength = 3;

export function readHeader(returned: readonly (number | undefined)[]): OutcomeHeader {
  const [now, base, listened] = returned;
  if (now === undefined || base === undefined)
    throw new CorruptionError(
      "the server's answer to a flush makes no sense; is the schema's code that of this version?",
    );
  return { now, base, listened: listened === 1 };
}
